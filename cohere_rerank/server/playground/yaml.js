// JSON whose strings are valid in Python too. Invisible characters are escaped.
function json(value, indent) {
  return JSON.stringify(value, null, indent).replace(/[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]/g, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

// Sends structured documents as YAML, as the Python client does. cohere_rerank/_wire/yaml.py has the reasons.
const MISREAD = /^(?:[ #,[\]{}&*!|>'"%@`]|[-?:](?: |$)|---|\.\.\.|(?:yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF||~|null|Null|NULL|<<|=|[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+][0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)|[-+]?0b[01_]+|[-+]?0[0-7_]+|[-+]?0x[0-9a-fA-F_]+|[-+]?(?:0|[1-9][0-9_]*)|[-+]?[1-9][0-9_]*(?::[0-5]?[0-9])+|[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt]|[ \t]+)[0-9]{1,2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]*)?(?:[ \t]*(?:Z|[-+][0-9]{1,2}(?::[0-9]{2})?))?)$)/;
const UNPRINTABLE = /[\0-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufeff\ufffe\uffff]/u;
const ESCAPES = new Map(Array.from('\0\x07\b\t\n\v\f\r\x1b"\\\x85\u2028\u2029', (character, at) => [character, "0abtnvfre\"\\NLP"[at]]));

function yamlEscape(character) {
  if (ESCAPES.has(character)) return `\\${ESCAPES.get(character)}`;
  if (!UNPRINTABLE.test(character)) return character;
  const code = character.charCodeAt(0).toString(16).toUpperCase();
  return code.length > 2 ? `\\u${code.padStart(4, "0")}` : `\\x${code.padStart(2, "0")}`;
}

function yamlText(text, indent) {
  const lines = text.replace(/[\u2028\u2029]/g, "\n");
  if (UNPRINTABLE.test(text) || / \n|\n /.test(lines)) return `"${Array.from(text, yamlEscape).join("")}"`;
  const quoted = `'${text.replace(/'/g, "''")}'`;
  if (lines.includes("\n")) return quoted.replace(/[\n\u2028\u2029]+/g, (breaks) => `${breaks[0] === "\n" ? "\n" : ""}${breaks}${indent}  `);
  return MISREAD.test(text) || /: | #|[ :]$/.test(text) ? quoted : text;
}

function yaml(fields, first = "", indent = "") {
  let out = "";
  for (const [key, value] of Object.entries(fields)) {
    let head = "-";
    let isInline = true;
    if (!Array.isArray(fields)) {
      isInline = /[\r\x85\n\u2028\u2029]/.test(key) || new TextEncoder().encode(key).length > 128;
      head = isInline ? `? ${yamlText(key, indent)}\n${indent}:` : `${yamlText(key, indent)}:`;
    }
    out += yamlItem(value, first + head, indent, isInline);
    first = indent;
  }
  return out;
}

function yamlItem(value, head, indent, isInline) {
  if (typeof value === "string") return `${head} ${yamlText(value, indent)}\n`;
  if (value === null || typeof value !== "object") return `${head} ${value}\n`;
  if (!Object.keys(value).length) return `${head} ${json(value)}\n`;
  if (isInline) return yaml(value, `${head} `, `${indent}  `);
  const inner = Array.isArray(value) ? indent : `${indent}  `;
  return `${head}\n${yaml(value, inner, inner)}`;
}

