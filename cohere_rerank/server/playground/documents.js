// The documents of the form: pasted text, or a file.

const MAX_FILE_BYTES = 5_000_000;

function readDocuments() {
  const text = $("documents").value;
  if ($("form").value === "lines") return text.split("\n").filter((line) => line.trim());
  if ($("form").value === "blocks") return text.split(/\n(?:[ \t]*\n)+/).map((block) => block.replace(/^\n+|\n+$/g, "")).filter((block) => block.trim());
  return checkedDocuments(readJson(text));
}

function readJson(text) {
  if (!text.trim()) return [];
  try {
    const read = JSON.parse(text);
    return Array.isArray(read) ? read : [read];
  } catch (error) {
    if (text.trimStart().startsWith("[")) throw new Error(`The documents are not valid JSON: ${error.message}`);
    return readJsonLines(text);
  }
}

function readJsonLines(text) {
  const read = [];
  for (const [index, line] of text.split("\n").entries()) {
    if (!line.trim()) continue;
    try {
      read.push(JSON.parse(line));
    } catch (error) {
      throw new Error(`The documents are not valid JSON in line ${index + 1}: ${error.message}`);
    }
  }
  return read;
}

const isRecord = (item) => item !== null && typeof item === "object" && !Array.isArray(item);

function checkedDocuments(items) {
  const invalid = items.findIndex((item) => typeof item !== "string" && !isRecord(item));
  if (invalid >= 0) throw new Error(`The document at index ${invalid} must be a text or an object.`);
  return items;
}

// Files -------------------------------------------------------------------------------------------

// Returns what a file means for the form: its format, its documents as text, and its query if it has one.
async function readFile(file) {
  if (file.size > MAX_FILE_BYTES) throw new Error(`The file has ${(file.size / 1e6).toFixed(1)} MB. The page reads at most ${MAX_FILE_BYTES / 1e6} MB.`);
  let text;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer()).replace(/\r\n?/g, "\n");
  } catch {
    throw new Error("The file is not UTF-8. Save it as UTF-8.");
  }
  const kind = file.name.toLowerCase().split(".").pop();
  if (["csv", "tsv"].includes(kind)) return { form: "json", ...fromRows(readTable(text)) };
  if (["json", "jsonl", "ndjson"].includes(kind)) return { form: "json", ...fromRows(readJson(text)) };
  return { form: "lines", documents: text };
}

// A row with a query and a list of documents is one of the lists that `cohere-rerank batch` reads.
function fromRows(rows) {
  const [first] = rows;
  const isList = isRecord(first) && typeof first.query === "string" && Array.isArray(first.documents);
  const documents = checkedDocuments(isList ? first.documents : rows);
  const found = { documents: documents.map((item) => JSON.stringify(item)).join("\n") };
  if (!isList) return found;
  return { ...found, query: first.query, note: rows.length > 1 ? `The first of ${rows.length} lists is shown.` : "" };
}

// The rows of a table as objects, or as texts if there is one column (RFC 4180, with a header line).
function readTable(text) {
  const [header, ...rows] = cells(text);
  if (!header || !rows.length) throw new Error("The table needs a header line and at least one row.");
  const wrong = rows.findIndex((row) => row.length !== header.length);
  if (wrong >= 0) throw new Error(`Row ${wrong + 1} of the table has ${rows[wrong].length} cells, and the header has ${header.length}.`);
  if (header.length === 1) return rows.map(([cell]) => cell);
  return rows.map((row) => Object.fromEntries(header.map((name, at) => [name, row[at]])));
}

function cells(text) {
  const line = text.split("\n", 1)[0];
  const separator = ["\t", ";", ","].reduce((best, each) => (line.split(each).length > line.split(best).length ? each : best), ",");
  const rows = [];
  let row = [];
  let at = 0;
  while (at < text.length) {
    let cell;
    [cell, at] = text[at] === '"' ? quotedCell(text, at) : plainCell(text, at, separator);
    row.push(cell);
    if (text[at] !== separator) {
      if (at < text.length && text[at] !== "\n") throw new Error(`Row ${rows.length} of the table has text after a closing quote.`);
      if (row.length > 1 || row[0].trim()) rows.push(row);
      row = [];
    } else if (at + 1 >= text.length || text[at + 1] === "\n") {
      row.push(""); // the last cell of the line is empty
      rows.push(row);
      row = [];
      at += 1;
    }
    at += 1;
  }
  return rows;
}

function plainCell(text, start, separator) {
  let end = start;
  while (end < text.length && text[end] !== separator && text[end] !== "\n") end += 1;
  return [text.slice(start, end), end];
}

function quotedCell(text, start) {
  let end = start;
  do {
    end = text.indexOf('"', end + 1);
    if (end < 0) throw new Error("The table has a quote that is never closed.");
    if (text[end + 1] !== '"') return [text.slice(start + 1, end).replaceAll('""', '"'), end + 1];
    end += 1;
  } while (true);
}
