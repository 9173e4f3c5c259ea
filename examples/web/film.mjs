/** Screenshots one after the other as an animated WebP, without loss: each frame holds the part that changed (RFC 9649). */

const FOREVER = 0;
const HAS_ANIMATION = 0x02;
const OVERWRITE = 0x02;

export class Film {
  #studio;
  #margin;
  #frames = [];
  #size;

  /**
   * @param studio an empty page of a browser, which draws, compares and compresses
   * @param margin around each screenshot, in its pixels
   */
  constructor(studio, margin) {
    this.#studio = studio;
    this.#margin = margin;
  }

  /** Show a screenshot (PNG) for so long; one that differs in nothing prolongs the frame before it. */
  async add(screenshot, milliseconds) {
    const { size, frame } = await this.#studio.evaluate(draw, [screenshot.toString("base64"), this.#margin]);
    this.#size = size;
    if (frame === null) this.#frames.at(-1).milliseconds += milliseconds;
    else this.#frames.push({ ...frame, webp: Buffer.from(frame.webp), milliseconds });
  }

  get milliseconds() {
    return this.#frames.reduce((sum, { milliseconds }) => sum + milliseconds, 0);
  }

  /** The file. */
  encode() {
    const [width, height] = this.#size;
    const header = Buffer.concat([Buffer.of(HAS_ANIMATION, 0, 0, 0), uint24(width - 1), uint24(height - 1)]);
    const animation = Buffer.of(255, 255, 255, 255, FOREVER, 0); // the background, which nobody sees
    const frames = this.#frames.map(({ left, top, width, height, webp, milliseconds }) => {
      const place = [left / 2, top / 2, width - 1, height - 1, milliseconds].map(uint24);
      return chunk("ANMF", Buffer.concat([...place, Buffer.of(OVERWRITE), bitstream(webp)]));
    });
    return chunk("RIFF", Buffer.concat([Buffer.from("WEBP"), chunk("VP8X", header), chunk("ANIM", animation), ...frames]));
  }
}

/** Runs in the browser: the screenshot as a window on a desk, and the smallest rectangle that was not so before. */
async function draw([screenshot, margin]) {
  const source = await fetch(`data:image/png;base64,${screenshot}`);
  const bitmap = await createImageBitmap(await source.blob());
  const [width, height] = [bitmap.width + 2 * margin, bitmap.height + 2 * margin];
  const context = new OffscreenCanvas(width, height).getContext("2d", { alpha: false });
  context.fillStyle = "#e2dfd7";
  context.fillRect(0, 0, width, height);
  context.beginPath();
  context.roundRect(margin, margin, bitmap.width, bitmap.height, margin / 2);
  context.clip();
  context.drawImage(bitmap, margin, margin);

  const pixels = new Uint32Array(context.getImageData(0, 0, width, height).data.buffer);
  const before = globalThis.before ?? [];
  globalThis.before = pixels;
  let [left, top, right, bottom] = [width, height, -1, -1];
  for (let place = 0; place < pixels.length; place++) {
    if (pixels[place] === before[place]) continue;
    const [x, y] = [place % width, Math.floor(place / width)];
    [left, top, right, bottom] = [Math.min(left, x), Math.min(top, y), Math.max(right, x), Math.max(bottom, y)];
  }
  const size = [width, height];
  if (right < 0) return { size, frame: null };
  [left, top] = [left - (left % 2), top - (top % 2)]; // the format counts places in twos
  const changed = new OffscreenCanvas(right - left + 1, bottom - top + 1);
  changed.getContext("2d", { alpha: false }).drawImage(context.canvas, -left, -top);
  const file = await changed.convertToBlob({ type: "image/webp", quality: 1 }); // 1: without loss
  const webp = Array.from(new Uint8Array(await file.arrayBuffer()));
  return { size, frame: { left, top, width: changed.width, height: changed.height, webp } };
}

/** The chunk with the pixels, from a WebP file with one picture. */
function bitstream(file) {
  for (let place = 12; place < file.length; ) {
    const size = 8 + file.readUInt32LE(place + 4);
    if (file.toString("latin1", place, place + 4) === "VP8L") return padded(file.subarray(place, place + size));
    place += size + (size % 2);
  }
  throw new Error("The browser did not compress without loss.");
}

function chunk(name, payload) {
  const head = Buffer.from(`${name}\0\0\0\0`, "latin1");
  head.writeUInt32LE(payload.length, 4);
  return padded(Buffer.concat([head, payload]));
}

function padded(bytes) {
  return bytes.length % 2 === 0 ? bytes : Buffer.concat([bytes, Buffer.of(0)]);
}

function uint24(number) {
  return Buffer.of(number & 255, (number >> 8) & 255, number >> 16);
}
