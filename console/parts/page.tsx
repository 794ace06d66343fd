/** The head of a page: its title, which also names the tab and takes the focus when somebody arrives. */
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { words } from "../words.ts";

interface PageHeadProps {
  title: string;
  /** The way up. */
  above?: ComponentChildren;
  /** Beside the title. */
  beside?: ComponentChildren;
  children?: ComponentChildren;
}

let isFirst = true;

export function PageHead({ title, above, beside, children }: PageHeadProps) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    document.title = words.title(title);
  }, [title]);
  useEffect(() => {
    // The browser's own start of a page is right for the first; later ones replace what had the focus.
    if (!isFirst && document.activeElement === document.body) {
      heading.current?.focus({ preventScroll: true });
    }
    isFirst = false;
  }, []);
  return (
    <div class="page-head">
      {above !== undefined && <div class="above">{above}</div>}
      <div class="title-row">
        <h1 ref={heading} tabIndex={-1}>
          {title}
        </h1>
        {beside}
      </div>
      {children}
    </div>
  );
}
