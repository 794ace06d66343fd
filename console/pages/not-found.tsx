import { addressOf } from "../lib/router.ts";
import { PageHead } from "../parts/page.tsx";
import { words } from "../words.ts";

export function NotFoundPage() {
  return (
    <div class="narrow">
      <PageHead title={words.notFound.title} />
      <p>{words.notFound.hint}</p>
      <p>
        <a href={addressOf("/jobs")}>{words.notFound.link}</a>
      </p>
    </div>
  );
}
