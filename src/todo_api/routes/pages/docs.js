// Starts Swagger UI. While the service uses its sample secret, the page is signed in as the sample user.

// Swagger UI has a dark mode, and leaves to the page when to use it.
const darkness = matchMedia("(prefers-color-scheme: dark)");
const follow = () => document.documentElement.classList.toggle("dark-mode", darkness.matches);
darkness.addEventListener("change", follow);
follow();

const sample = JSON.parse(document.body.dataset.sample);

const ui = SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  syntaxHighlight: { theme: "tomorrow-night" }, // the first one falls short of a contrast of 4.5:1
  tryItOutEnabled: true,
  persistAuthorization: false, // a token in the browser's storage would be any later script's to read
  responseInterceptor: (response) => {
    if (response.url.endsWith("/openapi.json")) {
      const document = JSON.parse(response.text, sample ? withSampleUser : undefined);
      document.servers = [{ url: new URL(".", location.href).href.replace(/\/$/, "") }]; // also below a prefix
      response.text = JSON.stringify(document);
    }
    return response;
  },
  onComplete: () => sample && ui.preauthorizeApiKey("bearer", sample.token),
});

function withSampleUser(key, value) {
  return value?.in === "path" && value.name === "user_id" ? { ...value, example: sample.user } : value;
}
