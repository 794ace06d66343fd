import type { ComponentChildren } from "preact";

interface SectionProps {
  id: string;
  title: string;
  beside?: ComponentChildren;
  children: ComponentChildren;
}

/** A part of a page that an address can lead to. */
export function Section({ id, title, beside, children }: SectionProps) {
  return (
    <section id={id} aria-labelledby={`${id}-title`}>
      <div class="section-head">
        <h2 id={`${id}-title`}>{title}</h2>
        {beside}
      </div>
      {children}
    </section>
  );
}
