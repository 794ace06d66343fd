/** The part of a local server's output that a person at a terminal wants. Pure. */

/** Lines of wrangler itself about each request, such as `[wrangler:info] GET /health 200 OK (3ms)`. */
const REQUEST = /\[wrangler:info\] [A-Z]+ \S+ \d{3} /;

/** True for warnings and errors, and for what is not a line of the log. */
function isNews(line: string): boolean {
  if (REQUEST.test(line)) return false;
  if (!line.startsWith("{")) return true;
  try {
    return Object(JSON.parse(line)).level !== "info";
  } catch {
    return true;
  }
}

/** Passes on warnings and errors as whole lines, without the line that each request writes. */
export function withoutRequests(print: (text: string) => void): (text: string) => void {
  let rest = "";
  return (text) => {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    const news = lines.filter(isNews);
    if (news.some((line) => line.trim() !== "")) print(`${news.join("\n")}\n`);
  };
}
