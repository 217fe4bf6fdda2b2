// The call, the form and the start of the page.

// The query and the documents of Cohere's overview of Rerank.
const QUERY = "What is the capital of the United States?";
const RECORDS = [
  { Title: "Facts about Carson City", Content: "Carson City is the capital city of the American state of Nevada. At the 2010 United States Census, Carson City had a population of 55,274." },
  { Title: "The Commonwealth of Northern Mariana Islands", Content: "The Commonwealth of the Northern Mariana Islands is a group of islands in the Pacific Ocean that are a political division controlled by the United States. Its capital is Saipan." },
  { Title: "The Capital of United States Virgin Islands", Content: "Charlotte Amalie is the capital and largest city of the United States Virgin Islands. It has about 20,000 people. The city is on the island of Saint Thomas." },
  { Title: "Washington D.C.", Content: "Washington, D.C. (also known as simply Washington or D.C., and officially as the District of Columbia) is the capital of the United States. It is a federal district. The President of the USA and many major national government offices are in the territory. This makes it the political center of the United States of America." },
  { Title: "Capital Punishment in the US", Content: "Capital punishment has existed in the United States since before the United States was a country. As of 2017, capital punishment is legal in 30 of the 50 states. The federal government (including the United States military) also uses capital punishment." },
];
const OTHER = "…"; // the option of a model list to type a name
const $ = (id) => document.getElementById(id);

// The call ----------------------------------------------------------------------------------------

function chosen(id) {
  return $(id).value === OTHER ? $(`${id}-other`).value.trim() : $(id).value;
}

function readCall() {
  const call = { model: chosen("model"), query: $("query").value, documents: readDocuments() };
  if (!call.model) throw new Error("Choose a model, or type the name of one.");
  if ($("top-n").value) call.top_n = Number($("top-n").value);
  if ($("spans").checked) call.relevant_spans = { mode: "enabled" };
  return call;
}

const asSent = (call) => ({ ...call, documents: call.documents.map((item) => (typeof item === "string" ? item : yaml(item))) });

class RequestError extends Error {}

// Returns the reply, and the engine that answered.
async function ask(path, options, signal) {
  const headers = { ...options.headers };
  if ($("key").value) headers.authorization = `Bearer ${$("key").value.trim()}`;
  let response;
  try {
    response = await fetch(path, { ...options, headers, signal });
  } catch (error) {
    throw error.name === "AbortError" ? error : new RequestError(`The server did not respond: ${error.message}`);
  }
  const reply = await response.json().catch(() => null);
  if (response.ok && reply) return [reply, response.headers.get("x-answered-by")];
  if (response.status === 401) {
    $("guard").hidden = false;
    if (!headers.authorization) throw new RequestError("This server needs a key. Enter it above.");
  }
  const wait = response.headers.get("retry-after");
  throw new RequestError(`${response.status}: ${reply?.message ?? "the response is not JSON"}${wait ? ` (try again in ${wait} s)` : ""}`);
}

const post = (call) => ({ method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(call) });

async function rankBy(model, call, signal) {
  const started = performance.now();
  const answer = { model };
  try {
    [answer.reply, answer.answeredBy] = await ask("v2/rerank", post({ ...call, model }), signal);
  } catch (error) {
    if (!(error instanceof RequestError)) throw error;
    answer.error = error.message;
  }
  answer.ms = Math.round(performance.now() - started);
  return answer;
}

let running = new AbortController();
let hasModels = false;
let isLocal = false; // the server's own engine answers, so a ranking costs nothing

async function run(isAsked = true) {
  running.abort(); // only the last run counts
  running = new AbortController();
  const { signal } = running;
  $("call").hidden = true;
  if (!hasModels) await loadModels();
  const call = hasModels && guarded(() => asSent(readCall()));
  if (signal.aborted) return;
  $("results").ariaBusy = "false"; // the run before may have left it
  if (!call) return;
  $("status").textContent = "Ranking …";
  $("results").ariaBusy = "true";
  const models = [call.model, chosen("second")].filter((name, at) => at === 0 || name);
  try {
    const answers = await Promise.all(models.map((model) => rankBy(model, call, signal)));
    if (!signal.aborted) finish(answers, call.documents, isAsked);
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    if (!signal.aborted) $("results").ariaBusy = "false";
  }
}

function finish(answers, texts, isAsked) {
  show(answers, texts);
  const failed = answers.filter((answer) => answer.error).length;
  const n = texts.length;
  $("status").textContent = failed ? "The ranking failed: see the message." : `Ranked ${n} ${n === 1 ? "document" : "documents"}.`;
  if (isAsked) reveal($("answer"));
  if (failed && !$("guard").hidden && !$("key").value) $("key").focus();
}

// On a phone, the results are below the form.
function reveal(part) {
  if (part.getBoundingClientRect().top > innerHeight * 0.8) part.scrollIntoView();
}

// Shows the mistakes of the input in the form.
function guarded(read) {
  $("problem").textContent = "";
  try {
    return read();
  } catch (error) {
    complain(error);
    return null;
  }
}

function complain(error) {
  $("problem").textContent = error.message;
  $("status").textContent = "";
}

// Copies ------------------------------------------------------------------------------------------

async function copy(title, text) {
  $("call").hidden = false;
  $("call-name").textContent = title;
  $("code").textContent = text;
  reveal($("call"));
  try {
    await navigator.clipboard.writeText(text);
    $("copied").textContent = "Copied.";
  } catch { // browsers allow it on https and on this machine only
    getSelection().selectAllChildren($("code"));
    $("code").focus();
    $("copied").textContent = "Selected. Press Ctrl+C to copy.";
  }
}

function copyCode(name, write) {
  const code = guarded(() => write(readCall()));
  if (code !== null) copy(`The call as ${name}`, code);
}

const SHARED = { query: "query", documents: "documents", form: "form", topN: "top-n", threshold: "threshold" };

async function copyLink() {
  const shared = Object.fromEntries(Object.entries(SHARED).map(([name, id]) => [name, $(id).value]));
  try {
    copy("A link to this call", await linkTo({ ...shared, model: chosen("model"), second: chosen("second"), spans: $("spans").checked }));
  } catch (error) {
    complain(error);
  }
}

// Fills the form from the fragment of the address, or else with an example.
async function fillFirst() {
  if (location.hash.length < 2) {
    fillForm(EXAMPLES["example-texts"]());
    return;
  }
  let shared;
  try {
    shared = await sharedBy(location.hash.slice(1));
  } catch {
    complain(new Error("The link is damaged: copy it again, or ask for a new one."));
    return;
  }
  for (const [name, id] of Object.entries(SHARED)) if (name in shared) $(id).value = shared[name];
  if ($("form").selectedIndex < 0) $("form").selectedIndex = 0;
  $("spans").checked = shared.spans;
  wanted = shared;
  if (hasModels) selectWanted();
  count();
}

let wanted = {}; // the models of the link, until the lists of models are there

function selectWanted() {
  if (wanted.model) select("model", wanted.model);
  if (wanted.second !== undefined) select("second", wanted.second);
  wanted = {};
}

// The page ----------------------------------------------------------------------------------------

function fill(list, names, none) {
  const options = names.map((name) => new Option(name, name));
  if (none) options.unshift(new Option(none, ""));
  const before = list.options.length ? list.value : null;
  list.replaceChildren(...options, new Option("another model …", OTHER));
  if (before !== null) list.value = before;
  if (list.selectedIndex < 0) list.selectedIndex = 0;
}

// Selects a model, or writes its name if the list does not have it.
function select(id, name) {
  $(id).value = name;
  if ($(id).selectedIndex < 0) {
    $(id).value = OTHER;
    $(`${id}-other`).value = name;
  }
  showOther(id);
}

async function loadModels() {
  let models;
  try {
    [{ data: models }] = await ask("v1/models", {});
  } catch (error) {
    complain(error);
    return;
  }
  hasModels = true;
  isLocal = models[0]?.owned_by === "local";
  // A local server answers every name with its engine, so the engine's own name comes first.
  const names = models.map((model) => model.id);
  names.sort((a, b) => b.startsWith("local-") - a.startsWith("local-"));
  fill($("model"), names);
  fill($("second"), names, "no other model");
  selectWanted();
}

function showOther(id) {
  $(`${id}-other`).hidden = $(id).value !== OTHER;
}

function count() {
  let text = "not valid JSON yet";
  try {
    const n = readDocuments().length;
    text = n === 0 ? "no documents" : n === 1 ? "1 document" : `${n} documents`;
  } catch { /* the user is still typing */ }
  $("count").textContent = text;
}

function fillForm({ query, form, documents }) {
  if (query !== undefined) $("query").value = query;
  $("form").value = form;
  $("documents").value = documents;
  count();
}

const EXAMPLES = {
  "example-texts": () => ({ query: QUERY, form: "lines", documents: RECORDS.map((record) => record.Content).join("\n") }),
  "example-records": () => ({ query: QUERY, form: "json", documents: JSON.stringify(RECORDS, null, 2) }),
};

async function openFile(file) {
  if (!file) return;
  try {
    const read = await readFile(file);
    if (!read.documents.trim()) throw new Error(`${file.name} has no documents.`);
    fillForm(read);
    $("problem").textContent = "";
    $("status").textContent = `Read ${file.name}. ${read.note ?? ""}`;
  } catch (error) {
    complain(error);
  }
}

// Ranks without being asked, if that costs nothing.
async function runIfFree(isAsked = true) {
  if (!hasModels) await loadModels();
  if (!hasModels || $("problem").textContent) return;
  if (isLocal) await run(isAsked);
  else $("status").textContent = "Press Rank. This server asks another server, which may charge for it.";
}

async function start() {
  await fillFirst();
  await runIfFree(false);
}

$("ask").addEventListener("submit", (event) => { event.preventDefault(); run(); });
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); run(); }
});
$("documents").addEventListener("input", count);
$("form").addEventListener("change", count);
$("threshold").addEventListener("input", filter);
for (const id of ["model", "second"]) {
  $(id).addEventListener("change", () => { showOther(id); if ($(id).value === OTHER) $(`${id}-other`).focus(); else runIfFree(); });
}
$("spans").addEventListener("change", () => runIfFree());
$("key").addEventListener("change", () => { $("problem").textContent = ""; runIfFree(); });
for (const [id, example] of Object.entries(EXAMPLES)) $(id).addEventListener("click", () => { fillForm(example()); run(); });
for (const [id, [name, write]] of Object.entries(CODE)) $(id).addEventListener("click", () => copyCode(name, write));
$("link").addEventListener("click", copyLink);
$("close").addEventListener("click", () => { $("call").hidden = true; });
$("upload").addEventListener("click", () => $("file").click());
$("file").addEventListener("change", async () => { await openFile($("file").files[0]); $("file").value = ""; });
$("ask").addEventListener("dragover", (event) => { event.preventDefault(); $("ask").classList.add("over"); });
$("ask").addEventListener("dragleave", () => $("ask").classList.remove("over"));
$("ask").addEventListener("drop", (event) => {
  $("ask").classList.remove("over");
  if (event.dataTransfer.files.length) { event.preventDefault(); openFile(event.dataTransfer.files[0]); }
});
for (const type of ["pointerover", "pointerleave"]) $("results").addEventListener(type, pointAt);
addEventListener("hashchange", start);
start();
