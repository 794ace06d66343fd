/** Signing in, at whatever address somebody came to: afterwards that page is shown. */
import { useState } from "preact/hooks";
import { api, call } from "../lib/api.ts";
import { type Ending, session } from "../lib/session.ts";
import { PageHead } from "../parts/page.tsx";
import { words } from "../words.ts";

const text = words.signIn;

export function SignInPage({ ending }: { ending: Ending | null }) {
  const [byToken, setByToken] = useState(false);
  return (
    <div class="sheet">
      <PageHead title={text.title} />
      <p class="soft">{text.lead}</p>
      {ending !== null && (
        <p class="notice warn" role="status">
          {ending === "signed_out" ? text.signedOut : text.ended}
        </p>
      )}
      {byToken ? <TokenForm /> : <PasswordForm />}
      <button type="button" class="link" onClick={() => setByToken(!byToken)}>
        {byToken ? text.showPassword : text.showToken}
      </button>
      <p class="soft small">{text.forgotten}</p>
      <p class="soft small">
        <a href="/set-up">{text.setUp}</a>
      </p>
    </div>
  );
}

function PasswordForm() {
  const [fault, setFault] = useState<string | null>(null);
  const [isBusy, setIsBusy] = useState(false);
  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    if (!(event.currentTarget instanceof HTMLFormElement)) return;
    const form = new FormData(event.currentTarget);
    const [email, password] = [String(form.get("email")), String(form.get("password"))];
    if (email.trim() === "" || password === "") return setFault(text.empty);
    setIsBusy(true);
    const answer = await session.signIn(email.trim(), password);
    setIsBusy(false);
    if (answer === null) return;
    setFault(
      answer.kind === "unreachable" ? words.faults.unreachable : answer.message || text.wrong,
    );
  };
  return (
    <form onSubmit={submit} noValidate>
      <label for="email">{text.email}</label>
      <input id="email" name="email" type="email" autoComplete="username" required />
      <label for="password">{text.password}</label>
      <input
        id="password"
        name="password"
        type="password"
        autoComplete="current-password"
        required
      />
      <FormFault text={fault} />
      <button type="submit" class="primary" disabled={isBusy}>
        {isBusy ? words.actions.busy : text.submit}
      </button>
    </form>
  );
}

function TokenForm() {
  const [fault, setFault] = useState<string | null>(null);
  const [isBusy, setIsBusy] = useState(false);
  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    if (!(event.currentTarget instanceof HTMLFormElement)) return;
    const token = String(new FormData(event.currentTarget).get("token")).trim();
    if (token === "") return setFault(text.emptyToken);
    setIsBusy(true);
    const outcome = await call((signal) =>
      api.GET("/v0/users/me", { signal, headers: { Authorization: `Bearer ${token}` } }),
    );
    setIsBusy(false);
    if (outcome.ok) session.use(token);
    else setFault(outcome.fault.kind === "signed_out" ? text.endedToken : outcome.fault.message);
  };
  return (
    <form onSubmit={submit} noValidate>
      <label for="token">{text.token}</label>
      <input
        id="token"
        name="token"
        type="password"
        autoComplete="off"
        aria-describedby="token-hint"
        required
      />
      <p id="token-hint" class="hint">
        {text.tokenHint}
      </p>
      <FormFault text={fault} />
      <button type="submit" class="primary" disabled={isBusy}>
        {isBusy ? words.actions.busy : text.useToken}
      </button>
    </form>
  );
}

function FormFault({ text: fault }: { text: string | null }) {
  return <div role="alert">{fault !== null && <p class="notice bad">{fault}</p>}</div>;
}
