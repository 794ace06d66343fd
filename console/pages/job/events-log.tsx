import { useState } from "preact/hooks";
import { moment } from "../../lib/format.ts";
import { Section } from "../../parts/section.tsx";
import { words } from "../../words.ts";
import type { JobView } from "./view.ts";

const text = words.events;
const SHOWN = 12;

/** What has happened, newest first. */
export function EventsSection({ job }: { job: JobView }) {
  const [isWhole, setIsWhole] = useState(false);
  const events = job.events.toReversed();
  const shown = isWhole ? events : events.slice(0, SHOWN);
  return (
    <Section id="events" title={text.title}>
      {events.length === 0 ? (
        <p class="soft">{text.none}</p>
      ) : (
        <ol class="events">
          {shown.map(({ at, kind, message }, index) => (
            <li key={`${at} ${message} ${events.length - index}`} class={`event ${kind}`}>
              <time dateTime={at}>{moment(at)}</time>
              <span class="event-kind">{text.kinds[kind]}</span>
              <span>{message}</span>
            </li>
          ))}
        </ol>
      )}
      {shown.length < events.length && (
        <button type="button" onClick={() => setIsWhole(true)}>
          {text.all(events.length)}
        </button>
      )}
    </Section>
  );
}
