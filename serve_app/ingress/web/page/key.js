/** The key in the page's address, `#key=...`: a browser sends that part to no server. */

const KEPT = "echo-serve-key";

/** Takes the key out of the address, so that nobody copies it with the address or sees it in a
 * picture of the page. It is kept until this tab is closed.
 * @returns {string} empty if there is none */
export function takeKey() {
  const fields = new URLSearchParams(location.hash.slice(1));
  const given = fields.get("key");
  if (given === null) return kept();
  fields.delete("key");
  const rest = fields.toString();
  history.replaceState(null, "", location.pathname + location.search + (rest && `#${rest}`));
  keep(given);
  return given;
}

function kept() {
  try {
    return sessionStorage.getItem(KEPT) ?? "";
  } catch {
    return ""; // a browser may keep nothing for this page
  }
}

function keep(key) {
  try {
    sessionStorage.setItem(KEPT, key);
  } catch {
    // It holds until the page is loaded again.
  }
}
