/**
 * The API reference. Credentials stay in this page's memory: a reload signs out, and nothing is written to storage. Scalar
 * builds and sends the requests of its console through `send`, which adds the credential.
 */

import { readDocument } from "./document.ts";
import { element } from "./element.ts";
import { forgetAtReload } from "./memory-storage.ts";
import { Session } from "./session.ts";

/** Only here are signing in and sending joined: the reference's own sign-in would ask for an OAuth client. */
const session = new Session();

/** Sends a request of the console, with the credential of the bar unless the request carries one of its own. */
async function send(request: Request): Promise<Response> {
  if (new URL(request.url).origin !== location.origin) return fetch(request);
  const headers = new Headers(request.headers);
  const credential = await session.credential();
  if (!signedIn.hidden && !session.isSignedIn) {
    signedIn.hidden = true;
    byPassword.hidden = false;
    fault.textContent = "Your session has ended. Sign in again.";
  }
  // The console sends the scheme alone where nobody typed a token.
  if (/^Bearer$/i.test(headers.get("Authorization")?.trim() ?? "")) headers.delete("Authorization");
  if (!headers.has("Authorization") && credential !== null) {
    headers.set("Authorization", `Bearer ${credential}`);
  }
  return fetch(new Request(request, { headers }));
}

const byPassword = element("sign-in", HTMLFormElement);
const byToken = element("token-form", HTMLFormElement);
const email = element("email", HTMLInputElement);
const password = element("password", HTMLInputElement);
const token = element("token", HTMLInputElement);
const fault = element("sign-in-fault", HTMLElement);
const signedIn = element("signed-in", HTMLElement);

byPassword.addEventListener("submit", async (event) => {
  event.preventDefault();
  const outcome = await session.signIn(email.value, password.value);
  password.value = "";
  show(outcome, email.value);
});

byToken.addEventListener("submit", (event) => {
  event.preventDefault();
  session.use(token.value.trim());
  token.value = "";
  show(null, "a token");
});

element("use-token", HTMLButtonElement).addEventListener("click", () =>
  swap(byPassword, byToken, token),
);
element("use-password", HTMLButtonElement).addEventListener("click", () =>
  swap(byToken, byPassword, password),
);
element("sign-out", HTMLButtonElement).addEventListener("click", async () => {
  await session.signOut();
  signedIn.hidden = true;
  byPassword.hidden = false;
});

function swap(from: HTMLElement, to: HTMLElement, focus: HTMLElement): void {
  from.hidden = true;
  to.hidden = false;
  fault.textContent = "";
  focus.focus();
}

/** @param outcome null, or what went wrong */
function show(outcome: string | null, who: string): void {
  fault.textContent = outcome ?? "";
  if (outcome !== null) return;
  byPassword.hidden = true;
  byToken.hidden = true;
  element("who", HTMLElement).textContent = `Requests are sent as ${who}.`;
  signedIn.hidden = false;
}

// Before the reference loads: it would keep its settings, and what people type, beyond the visit.
forgetAtReload();
const { createApiReference } = await import("@scalar/api-reference");

createApiReference("#reference", {
  content: await readDocument(),
  customFetch: (input: RequestInfo | URL, init?: RequestInit) => send(new Request(input, init)),
  agent: { disabled: true },
  mcp: { disabled: true },
  telemetry: false,
  persistAuth: false,
  hideClientButton: true,
  showDeveloperTools: "never",
  withDefaultFonts: false,
  documentDownloadType: "none",
  defaultHttpClient: { targetKey: "shell", clientKey: "curl" },
  // The bar above signs in.
  customCss: ".introduction-card-item.scalar-reference-intro-auth { display: none; }",
  metaData: { title: "Assay API" },
});
