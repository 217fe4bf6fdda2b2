// The link to share a call. The call is in the fragment of the address, which browsers never send to a server.

const MAX_LINK = 30_000; // characters; chat programs cut longer links
const MAX_SHARED_BYTES = 2_000_000;

async function throughStream(bytes, stream, limit) {
  const reader = new Blob([bytes]).stream().pipeThrough(stream).getReader();
  const parts = [];
  let size = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return new Blob(parts).arrayBuffer();
    size += value.length;
    if (size > limit) {
      await reader.cancel();
      throw new Error("it is too long");
    }
    parts.push(value);
  }
}

async function linkTo(shared) {
  const packed = await throughStream(new TextEncoder().encode(JSON.stringify(shared)), new CompressionStream("deflate-raw"), Infinity);
  const text = Array.from(new Uint8Array(packed), (byte) => String.fromCharCode(byte)).join("");
  const link = `${location.href.split("#")[0]}#${btoa(text).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "")}`;
  if (link.length > MAX_LINK) throw new Error(`The link would have ${link.length} characters. Share fewer or shorter documents: ${MAX_LINK} is the limit.`);
  return link;
}

// Returns the shared fields that have the right type. Anybody can write a link, so nothing else is taken from it.
async function sharedBy(fragment) {
  const packed = Uint8Array.from(atob(fragment.replaceAll("-", "+").replaceAll("_", "/")), (character) => character.charCodeAt(0));
  const read = JSON.parse(new TextDecoder().decode(await throughStream(packed, new DecompressionStream("deflate-raw"), MAX_SHARED_BYTES)));
  const texts = ["query", "documents", "form", "model", "second", "topN", "threshold"].filter((name) => typeof read?.[name] === "string");
  return { ...Object.fromEntries(texts.map((name) => [name, read[name]])), spans: read?.spans !== false };
}
