// Greedy answers of a local ONNX export by transformers.js, as JSON on standard output, with no network:
//   node generate.mjs FOLDER NAME MAX_TOKENS < questions.json   (NAME is a directory in FOLDER; questions is a list of strings)
// → {"alone": [{"prompt": [ids], "answer": [ids]}, …], "together": [[ids], …]}   `together` is one left-padded batch
import { readFileSync } from 'node:fs';
import { AutoModelForCausalLM, AutoTokenizer, env } from '@huggingface/transformers';

const [folder, name, maxTokens] = process.argv.slice(2);
env.allowRemoteModels = false;
env.localModelPath = folder;
const questions = JSON.parse(readFileSync(0, 'utf-8'));
const tokenizer = await AutoTokenizer.from_pretrained(name);
const model = await AutoModelForCausalLM.from_pretrained(name, {
    device: 'cpu',
    session_options: { intraOpNumThreads: 1, interOpNumThreads: 1, logSeverityLevel: 3 },
}); // the dtype is the one that config.json names
const greedy = { max_new_tokens: Number(maxTokens), do_sample: false };
const rows = (tensor) => tensor.tolist().map((row) => row.map(Number));

const alone = [];
const texts = [];
for (const question of questions) {
    const messages = [{ role: 'user', content: question }];
    texts.push(tokenizer.apply_chat_template(messages, { add_generation_prompt: true, tokenize: false }));
    const inputs = tokenizer(texts.at(-1), { add_special_tokens: false });
    const [ids] = rows(await model.generate({ ...inputs, ...greedy }));
    const prompt = rows(inputs.input_ids)[0];
    alone.push({ prompt, answer: ids.slice(prompt.length) });
}
tokenizer.padding_side = 'left';
const inputs = tokenizer(texts, { add_special_tokens: false, padding: true });
const width = inputs.input_ids.dims[1];
const together = rows(await model.generate({ ...inputs, ...greedy })).map((ids) => ids.slice(width));
console.log(JSON.stringify({ alone, together }));
await model.dispose();
