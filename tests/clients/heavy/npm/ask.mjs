// A server's address in, what the two clients got from it out, as JSON.
import { InferenceClient } from "@huggingface/inference";
import OpenAI from "openai";

const [url] = process.argv.slice(2);
const texts = ["A river runs through it.", "日本"];
const text = "Paris is the [MASK] of France.";

const openai = new OpenAI({ baseURL: `${url}/v1`, apiKey: "none", maxRetries: 0 });
const embedded = await openai.embeddings.create({ model: "cloze-small-en", input: texts });
const plain = await openai.embeddings.create({
  model: "cloze-small-en",
  input: texts,
  encoding_format: "float",
});
const models = [];
for await (const model of openai.models.list()) models.push(model.id);
const refused = await openai.embeddings
  .create({ model: "nobody", input: texts })
  .catch((error) => ({ status: error.status, code: error.code }));

const at = (path) => new InferenceClient(undefined, { endpointUrl: `${url}${path}` });
const filled = await at("/fill-mask").fillMask({ inputs: text });
const features = await at("/embed").featureExtraction({ inputs: texts });
const labels = await at("/models/reviews/text-classification").textClassification({ inputs: text });
const entities = await at("/models/names/token-classification").tokenClassification({
  inputs: "Clara lives in Berkeley.",
});
const answered = await at("/models/answers/question-answering").questionAnswering({
  inputs: { question: "Where does Clara live?", context: "Clara lives in Berkeley." },
});
const similar = await at("/similarity").sentenceSimilarity({
  inputs: { source_sentence: texts[0], sentences: texts },
});
const wanted = { candidate_labels: ["film", "food", "travel"] };
const zeroShot = await at("/models/inference/zero-shot-classification").zeroShotClassification({
  inputs: "The actor was charming.",
  parameters: wanted,
});

// The server's address, or a model's, which name no route: with a slash at its end or without.
const question = { question: "Where does Clara live?", context: "Clara lives in Berkeley." };
const compared = { source_sentence: texts[0], sentences: texts };
const addressed = [];
for (const slash of ["", "/"]) {
  for (const model of ["", "/models/cloze-small-en"]) {
    const client = at(`${model}${slash}`);
    const best = await client.fillMask({ inputs: text });
    const [answer] = await client.featureExtraction({ inputs: texts });
    const [same] = await client.sentenceSimilarity({ inputs: compared });
    addressed.push({ filled: best[0].sequence, features: answer, same: Math.round(same * 1e5) });
  }
  const of = (model) => at(`/models/${model}${slash}`);
  const told = await of("reviews").textClassification({ inputs: "What a wonderful film!" });
  const found = await of("names").tokenClassification({ inputs: question.context });
  const said = await of("answers").questionAnswering({ inputs: question });
  const guess = await of("inference").zeroShotClassification({
    inputs: "The actor was charming.",
    parameters: wanted,
  });
  addressed.push({
    label: told[0].label,
    entities: found.map((one) => one.entity_group),
    answer: said.answer,
    zeroShot: guess[0].label,
  });
}
const message = await at("/fill-mask")
  .fillMask({ inputs: "no blank" })
  .catch((error) => String(error.message) + JSON.stringify(error.httpResponse?.body ?? ""));

console.log(
  JSON.stringify({
    packed: embedded.data.map((one) => one.embedding),
    plain: plain.data.map((one) => one.embedding),
    models,
    refused,
    filled: filled[0].sequence,
    features,
    labels: labels.length,
    entities: entities.map((one) => one.entity_group),
    answer: answered.answer,
    similar,
    zeroShot,
    addressed,
    message,
  }),
);
