// The same API on Fastify, postgres.js and fast-jwt, each as its documentation recommends.
// Environment: PORT, BETTER_AUTH_SECRET, and libpq's PGHOST, PGUSER, PGDATABASE.
import { createVerifier } from 'fast-jwt'
import Fastify from 'fastify'
import postgres from 'postgres'

const sql = postgres({
  max: 16,
  types: { int8: { to: 20, from: [20], parse: Number, serialize: String } }
})
const verify = createVerifier({ key: process.env.BETTER_AUTH_SECRET, algorithms: ['HS256'], cache: 10000 })
const app = Fastify()

const task = {
  type: 'object',
  properties: {
    id: { type: 'integer' },
    user_id: { type: 'string' },
    title: { type: 'string' },
    description: { type: 'string', nullable: true },
    completed: { type: 'boolean' },
    created_at: { type: 'string', format: 'date-time' },
    updated_at: { type: 'string', format: 'date-time' }
  }
}
const title = { type: 'string', minLength: 1, maxLength: 255 }
const description = { type: 'string', maxLength: 1000, nullable: true }
const completed = { type: 'boolean' }
const params = { type: 'object', properties: { user: { type: 'string' }, id: { type: 'integer' } } }
const one = { params, response: { '2xx': task } }
const body = (properties, required = []) => ({ type: 'object', properties, required })
const columns = sql`id, user_id, title, description, completed, created_at, updated_at`

app.addHook('onRequest', async (request, reply) => {
  const authorization = request.headers.authorization ?? ''
  let payload
  try {
    payload = verify(authorization.slice('Bearer '.length))
  } catch {
    return reply.code(401).send({ detail: 'Invalid token' })
  }
  if (payload.sub !== request.params.user) return reply.code(403).send({ detail: 'Not your tasks' })
})

const found = (rows, reply) => rows[0] ?? reply.code(404).send({ detail: 'Task not found' })

app.get('/api/:user/tasks', {
  schema: {
    querystring: { type: 'object', properties: { limit: { type: 'integer', minimum: 1, maximum: 1000, default: 1000 } } },
    response: { 200: { type: 'array', items: task } }
  }
}, ({ params, query }) => sql`
  SELECT ${columns} FROM tasks WHERE user_id = ${params.user} ORDER BY created_at DESC, id DESC LIMIT ${query.limit}`)

app.post('/api/:user/tasks', {
  schema: { body: body({ title, description, completed }, ['title']), response: { 201: task } }
}, async ({ params, body }, reply) => {
  const { title, description = null, completed = false } = body
  const [created] = await sql`
    INSERT INTO tasks (user_id, title, description, completed)
    VALUES (${params.user}, ${title}, ${description}, ${completed}) RETURNING ${columns}`
  return reply.code(201).send(created)
})

app.get('/api/:user/tasks/:id', { schema: one }, async ({ params }, reply) => found(await sql`
  SELECT ${columns} FROM tasks WHERE id = ${params.id} AND user_id = ${params.user}`, reply))

app.put('/api/:user/tasks/:id', {
  schema: { ...one, body: body({ title, description, completed }) }
}, async ({ params, body }, reply) => found(await sql`
  UPDATE tasks SET title = coalesce(${body.title ?? null}, title),
    description = CASE WHEN ${'description' in body} THEN ${body.description ?? null} ELSE description END,
    completed = coalesce(${body.completed ?? null}, completed), updated_at = clock_timestamp()
  WHERE id = ${params.id} AND user_id = ${params.user} RETURNING ${columns}`, reply))

app.delete('/api/:user/tasks/:id', { schema: one }, async ({ params }, reply) => found(await sql`
  DELETE FROM tasks WHERE id = ${params.id} AND user_id = ${params.user} RETURNING ${columns}`, reply))

app.patch('/api/:user/tasks/:id/complete', {
  schema: { ...one, body: body({ completed }) }
}, async ({ params, body }, reply) => found(await sql`
  UPDATE tasks SET completed = coalesce(${body.completed ?? null}, NOT completed), updated_at = clock_timestamp()
  WHERE id = ${params.id} AND user_id = ${params.user} RETURNING ${columns}`, reply))

await app.listen({ host: '127.0.0.1', port: Number(process.env.PORT) })
process.once('SIGTERM', () => process.exit(0))
