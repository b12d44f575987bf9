/** How a browser says who it is. */

/** For `new WebSocket(url, subprotocols(key))`: the server chooses the first, and reads the second. */
export function subprotocols(key) {
  const bytes = new TextEncoder().encode(key);
  const base64 = btoa(String.fromCharCode(...bytes));
  const base64url = base64.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  return ["echo.v1", `bearer.${base64url}`];
}
