/** Creates the first administrator of a deployment. */
import { element } from "./element.ts";

const form = element("form", HTMLFormElement);
const button = element("create", HTMLButtonElement);
const outcome = element("outcome", HTMLElement);
const onward = element("onward", HTMLElement);

function say(kind: "busy" | "done" | "error", text: string): void {
  outcome.dataset.kind = kind;
  outcome.textContent = text;
  outcome.focus();
}

/** Answers null, or what to tell the person. */
async function setUp(): Promise<string | null> {
  const reply = await fetch("/setup", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(Object.fromEntries(new FormData(form))),
  });
  if (reply.ok) return null;
  if (reply.status === 404) {
    return "This deployment has an administrator, or no SETUP_TOKEN. Ask the administrator for an account.";
  }
  const body: { message?: string; error?: { details?: { field: string; message: string }[] } } =
    await reply.json().catch(() => ({}));
  const [first] = body.error?.details ?? [];
  if (first !== undefined) return `${first.field}: ${first.message}`;
  return body.message ?? "Something went wrong. Try again.";
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  button.disabled = true;
  say("busy", "Creating the administrator …");
  const fault = await setUp().catch(() => "The server cannot be reached. Try again.");
  button.disabled = false;
  if (fault !== null) {
    say("error", fault);
    return;
  }
  form.reset();
  form.hidden = true;
  onward.hidden = false;
  say(
    "done",
    "The administrator has been created. Sign in now, and remove SETUP_TOKEN from the deployment.",
  );
});
