// The official client against a gateway:  node client.mjs BASE_URL MODEL   → one JSON object on standard output
import OpenAI from 'openai';

const [baseURL, model] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey: 'none', maxRetries: 0 });
const messages = [{ role: 'user', content: 'Solve for x: 3x + 7 = 22' }];
const asked = { model, messages, max_tokens: 10, temperature: 0 };

const models = [];
for await (const each of client.models.list()) models.push(each.id);
const chat = await client.chat.completions.create({ ...asked, logprobs: true, top_logprobs: 2, n: 2 });
let streamed = '';
let usage = null;
for await (const chunk of await client.chat.completions.create({ ...asked, stream: true, stream_options: { include_usage: true } })) {
  streamed += chunk.choices[0]?.delta?.content ?? '';
  usage = chunk.usage ?? usage;
}
const whole = await client.chat.completions.stream({ ...asked }).finalContent();
const schema = { type: 'object', properties: { x: { type: 'integer', minimum: 0, maximum: 99 } }, required: ['x'], additionalProperties: false };
const format = { type: 'json_schema', json_schema: { name: 'answer', schema, strict: true } };
const parsed = (await client.chat.completions.parse({ ...asked, max_tokens: 60, response_format: format })).choices[0].message.parsed;
const completion = await client.completions.create({ model, prompt: '3x + 7', max_tokens: 5, temperature: 0 });
const errors = [];
for (const wrong of [() => client.chat.completions.create({ ...asked, model: 'nobody' }), () => client.embeddings.create({ model, input: 'x' }),
  () => client.chat.completions.create({ ...asked, temperature: 9 })]) {
  try {
    await wrong();
  } catch (error) {
    errors.push([error.constructor.name, error.status, error.code, error.param, Boolean(error.requestID)]);
  }
}
console.log(JSON.stringify({
  models, texts: chat.choices.map((choice) => choice.message.content), logprobs: chat.choices[0].logprobs.content.length,
  streamed, whole, usage, parsed, completion: completion.choices[0].text, errors,
}));
