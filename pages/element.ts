/**
 * An element of the page's own markup.
 *
 * @throws when the page has none of that kind: page and script do not fit together
 */
export function element<Kind extends HTMLElement>(id: string, kind: new () => Kind): Kind {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new Error(`The page has no ${kind.name} #${id}`);
  return found;
}
