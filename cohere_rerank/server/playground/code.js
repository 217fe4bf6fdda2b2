// The call as code.

const base = () => new URL(".", location.href).href.replace(/\/$/, "");
const isKeyed = () => !$("guard").hidden;

function pythonValue(value, indent) {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value !== "object" || !Object.keys(value).length) return json(value);
  const inner = `${indent}    `;
  const isList = Array.isArray(value);
  const items = Object.entries(value).map(([key, item]) => `${inner}${isList ? "" : `${json(key)}: `}${pythonValue(item, inner)},\n`);
  return `${isList ? "[" : "{"}\n${items.join("")}${indent}${isList ? "]" : "}"}`;
}

const keyOfClient = () => (isKeyed() ? "" : 'api_key="", ');
const keyNote = (indent) => (isKeyed() ? `${indent}# The key is read from the environment: CO_API_KEY\n` : "");
const pythonArguments = (call, indent) => Object.entries(call).map(([name, value]) => `${indent}${name}=${pythonValue(value, indent)},\n`).join("");

function python(call) {
  return `import cohere_rerank as cohere

${keyNote("")}client = cohere.ClientV2(${keyOfClient()}base_url=${json(base())})
response = client.rerank(
${pythonArguments(call, "    ")})
for result in response.results:
    print(f"{result.relevance_score:.3f}", result.index)
`;
}

function asyncPython(call) {
  return `import asyncio

import cohere_rerank as cohere


async def main():
${keyNote("    ")}    async with cohere.AsyncClientV2(${keyOfClient()}base_url=${json(base())}) as client:
        response = await client.rerank(
${pythonArguments(call, "            ")}        )
    for result in response.results:
        print(f"{result.relevance_score:.3f}", result.index)


asyncio.run(main())
`;
}

// The here-document quotes the JSON. No line of the JSON can end it, because each line with a string has quotes.
function curl(call) {
  const key = isKeyed() ? `  -H "Authorization: Bearer $CO_API_KEY" \\\n` : "";
  return `curl '${base()}/v2/rerank' \\\n  -H 'Content-Type: application/json' \\\n${key}  --data-binary @- <<'END'\n${json(asSent(call), 2)}\nEND\n`;
}

// For Node.js 18 or newer as a module, and for browsers whose origin the server allows.
function javascript(call) {
  const key = isKeyed() ? "Authorization: `Bearer ${process.env.CO_API_KEY}`, " : "";
  return `const response = await fetch(${json(`${base()}/v2/rerank`)}, {
  method: "POST",
  headers: { ${key}"Content-Type": "application/json" },
  body: JSON.stringify(${json(asSent(call), 2).replaceAll("\n", "\n  ")}),
});
if (!response.ok) throw new Error(\`\${response.status}: \${await response.text()}\`);
const { results } = await response.json();
for (const { index, relevance_score } of results) console.log(relevance_score.toFixed(3), index);
`;
}

const CODE = {
  python: ["Python", python],
  "async-python": ["async Python", asyncPython],
  curl: ["curl", curl],
  javascript: ["JavaScript", javascript],
};
