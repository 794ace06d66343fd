/** What surrounds every page: the bar with the ways between them, and the help for the keyboard. */
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { areShortcutsOn, turnShortcuts, useShortcuts } from "../lib/keys.ts";
import { usePerson } from "../lib/person.ts";
import { addressOf, go, usePlace } from "../lib/router.ts";
import { session } from "../lib/session.ts";
import { words } from "../words.ts";
import { Dialog } from "./dialog.tsx";
import { OfflineNotice } from "./notices.tsx";

interface ShellProps {
  isSignedIn: boolean;
  children: ComponentChildren;
}

export function Shell({ isSignedIn, children }: ShellProps) {
  const [isHelping, setIsHelping] = useState(false);
  useShortcuts({
    "?": () => setIsHelping(true),
    ...(isSignedIn
      ? {
          "g j": () => go(addressOf("/jobs")),
          "g m": () => go(addressOf("/machines")),
          n: () => go(addressOf("/jobs/new")),
          "/": () => focusSearch(),
        }
      : {}),
  });
  return (
    <>
      <a class="skip" href="#content">
        {words.skip}
      </a>
      <header class="top">
        <a class="brand" href={addressOf("/")}>
          <Mark />
          {words.product}
        </a>
        {isSignedIn && <Ways />}
        <div class="top-end">
          <button
            type="button"
            class="quiet key"
            aria-label={words.keys.open}
            onClick={() => setIsHelping(true)}
          >
            ?
          </button>
          {isSignedIn && <Account />}
        </div>
      </header>
      <OfflineNotice />
      <main id="content" tabIndex={-1}>
        {children}
      </main>
      {isHelping && <KeyboardHelp close={() => setIsHelping(false)} />}
    </>
  );
}

function Ways() {
  const { path } = usePlace();
  const room = path === "/" ? "jobs" : (path.split("/")[1] ?? "");
  const way = (name: "jobs" | "machines") => (
    <a href={addressOf(`/${name}`)} aria-current={room === name ? "page" : undefined}>
      {words.nav[name]}
    </a>
  );
  return (
    <nav aria-label={words.nav.label}>
      {way("jobs")}
      {way("machines")}
      <a href="/docs/guide/console">{words.nav.guide}</a>
      <a href="/docs">{words.nav.api}</a>
    </nav>
  );
}

function Account() {
  const person = usePerson();
  return (
    <div class="account">
      <span class="who" title={person?.email}>
        {person?.name ?? ""}
      </span>
      <button type="button" class="quiet" onClick={() => void session.signOut()}>
        {words.account.signOut}
      </button>
    </div>
  );
}

function Mark() {
  return (
    <svg class="mark" viewBox="0 0 16 16" aria-hidden="true">
      <path d="M2 13L6.2 3h3.6L14 13h-3l-.9-2.4H5.9L5 13zm4.7-4.8h2.6L8 4.9z" />
    </svg>
  );
}

function focusSearch(): void {
  const field = document.querySelector<HTMLInputElement>('input[type="search"]');
  if (field === null) go(addressOf("/jobs"));
  else {
    field.focus();
    field.select();
  }
}

function KeyboardHelp({ close }: { close: () => void }) {
  const [isOn, setIsOn] = useState(areShortcutsOn);
  const toggle = () => {
    turnShortcuts(!isOn);
    setIsOn(!isOn);
  };
  return (
    <Dialog title={words.keys.title} close={close}>
      <dl class="keys">
        {words.keys.list.map(([key, what]) => (
          <div key={key}>
            <dt>
              {key
                .split(" ")
                .filter(Boolean)
                .map((each) => (
                  <kbd key={each}>{each}</kbd>
                ))}
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
      <label class="check">
        <input type="checkbox" checked={isOn} onChange={toggle} />
        {words.keys.toggle}
      </label>
      <div class="actions">
        <button type="button" onClick={close}>
          {words.actions.close}
        </button>
      </div>
    </Dialog>
  );
}
