import { element } from "./element.ts";

// The token follows the `#`, which browsers never send. It leaves the address bar at once, so that neither
// the history nor a screenshot shows it.
const token = location.hash.slice(1);
history.replaceState(null, "", location.pathname);

// A link opened again in the same tab changes only the part after the `#`.
addEventListener("hashchange", () => location.reload());

const form = element("form", HTMLFormElement);
const password = element("password", HTMLInputElement);
const again = element("again", HTMLInputElement);
const button = element("set", HTMLButtonElement);
const outcome = element("outcome", HTMLElement);
const onward = element("onward", HTMLElement);

function say(kind: "busy" | "done" | "error", text: string): void {
  outcome.dataset.kind = kind;
  outcome.textContent = text;
  outcome.focus();
}

/** Length in code points, as the server counts. */
function lengthOf(text: string): number {
  return [...text].length;
}

/** Answers null, or what to tell the person. */
async function setPassword(password: string): Promise<string | null> {
  const reply = await fetch("/password", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ token, password }),
  });
  if (reply.ok) return null;
  const body: { message?: string } = await reply.json().catch(() => ({}));
  return body.message ?? "Something went wrong. Try again.";
}

if (token === "") {
  form.hidden = true;
  say("error", "The link is incomplete. Open the whole link that you received.");
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (lengthOf(password.value) < 12 || lengthOf(password.value) > 128) {
    say("error", "The password must have 12 to 128 characters.");
    password.focus();
    return;
  }
  if (password.value !== again.value) {
    say("error", "The passwords do not match.");
    again.focus();
    return;
  }
  button.disabled = true;
  say("busy", "Setting the password …");
  const fault = await setPassword(password.value).catch(
    () => "The server cannot be reached. Try again.",
  );
  button.disabled = false;
  if (fault !== null) {
    say("error", fault);
    return;
  }
  form.reset();
  form.hidden = true;
  onward.hidden = false;
  say("done", "The password is set. You can sign in with it now.");
});
