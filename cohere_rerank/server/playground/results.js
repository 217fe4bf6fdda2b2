// The rankings as the page shows them.

// Creates elements from text and a few attributes only, so that text of users never becomes markup.
function element(name, className, ...children) {
  const made = document.createElement(name);
  made.className = className;
  made.append(...children);
  return made;
}

// Spans count code points. JavaScript strings count UTF-16 units.
function marked(text, spans, relevance) {
  const points = Array.from(text);
  const parts = [];
  let done = 0;
  for (const { start, end, score } of [...spans].sort((a, b) => a.start - b.start)) {
    if (start < done) continue;
    const mark = element("mark", "", points.slice(start, end).join(""));
    mark.title = `span ${score.toFixed(3)}, document ${relevance.toFixed(3)}`;
    mark.style.setProperty("--strength", `${strength(score, relevance)}%`);
    parts.push(points.slice(done, start).join(""), mark);
    done = end;
  }
  return [...parts, points.slice(done).join("")];
}

// The score of a span compares it with the rest of its document. The score of the document says whether that matters.
const strength = (score, relevance) => Math.round(100 * Math.max(0.06, Math.min(1, score * (0.1 + 0.9 * relevance))));

function moved(rank, before) {
  if (before === undefined) return element("span", "", " · not in the other ranking");
  if (rank === before) return element("span", "", " · same rank");
  return rank < before ? element("span", "up", ` · ▲ up ${before - rank}`) : element("span", "down", ` · ▼ down ${rank - before}`);
}

function resultItem(result, rank, texts, ranks) {
  const score = result.relevance_score;
  const fill = element("i", "");
  fill.style.width = `${Math.max(0, Math.min(1, score)) * 100}%`;
  const bar = element("span", "bar", fill);
  bar.ariaHidden = "true";
  const measure = element("div", "measure", element("b", "", `${rank}`), bar, element("span", "score", score.toFixed(3)));
  const text = element("p", "text", ...marked(texts[result.index], result.relevant_spans ?? [], score));
  const note = element("p", "quiet", `index ${result.index}`);
  if (ranks) note.append(moved(rank, ranks.get(result.index)));
  const item = element("li", "", measure, text, note);
  item.dataset.index = result.index;
  item.dataset.score = score;
  return item;
}

const ranksOf = (results) => new Map(results.map((result, at) => [result.index, at + 1]));

// The heading is the engine that answered. A server with a local engine accepts any model name.
function column(answer, number, texts, ranks) {
  const by = answer.answeredBy || answer.model;
  const section = element("section", "");
  section.ariaLabel = `Ranking ${number} by ${by}`;
  const asked = by === answer.model ? "" : `asked for ${answer.model} · `;
  section.append(element("div", "above", element("h2", "", by), element("span", "quiet", `${asked}${answer.ms} ms`)));
  if (answer.error) {
    const problem = element("p", "bad", answer.error);
    problem.role = "alert";
    section.append(problem);
    return section;
  }
  section.append(...(answer.reply.meta?.warnings ?? []).map((warning) => element("p", "note", warning)));
  section.append(element("ol", "", ...answer.reply.results.map((result, at) => resultItem(result, at + 1, texts, ranks))));
  section.append(element("p", "quiet none"));
  return section;
}

function show(answers, texts) {
  const ranked = answers.map((answer) => answer.reply && ranksOf(answer.reply.results));
  $("results").replaceChildren(...answers.map((answer, at) => column(answer, at + 1, texts, at > 0 ? ranked[0] : undefined)));
  for (const text of document.querySelectorAll("#results .text")) if (text.scrollHeight > text.clientHeight) text.tabIndex = 0; // to scroll by keys
  $("filter").hidden = !ranked.some(Boolean);
  $("moves").hidden = !(ranked[0] && ranked[1]);
  if (!$("moves").hidden) $("moves").textContent = comparison(ranked[0], ranked[1]);
  filter();
}

function comparison(first, second) {
  const n = [...first].filter(([index, rank]) => second.get(index) !== rank).length;
  const best = [...first.keys()][0] === [...second.keys()][0] ? "Both put the same document first." : "They put different documents first.";
  return `${best} ${n} of ${first.size} documents ${n === 1 ? "has" : "have"} another rank.`;
}

// Shows the documents whose score reaches the threshold.
function filter() {
  const threshold = Number($("threshold").value);
  const counts = Array.from(document.querySelectorAll("#results > section"), (section) => {
    const items = [...section.querySelectorAll("li")];
    for (const item of items) item.hidden = Number(item.dataset.score) < threshold;
    const n = items.filter((item) => !item.hidden).length;
    const none = section.querySelector(".none");
    if (none) none.textContent = items.length && !n ? "No document reaches the threshold." : "";
    return `${n} of ${items.length}`;
  });
  $("passes").textContent = `${threshold.toFixed(2)}: ${counts.join(", ")} pass`;
}

// Marks the same document in all rankings.
function pointAt(event) {
  const index = event.type === "pointerleave" ? undefined : event.target.closest?.("li")?.dataset.index;
  const isCompared = document.querySelectorAll("#results > section").length > 1;
  for (const item of document.querySelectorAll("#results li")) item.classList.toggle("same", isCompared && item.dataset.index === index);
}
