/**
 * Works through items, at most `atOnce` at a time, and waits for all of them. `work` handles its own failures:
 * a rejection ends the walk.
 *
 * @param goOn called before each item; false skips the rest
 * @returns the number of items begun
 */
export async function eachOf<Item>(
  items: readonly Item[],
  atOnce: number,
  work: (item: Item) => Promise<void>,
  goOn: () => boolean = () => true,
): Promise<number> {
  let begun = 0;
  const worker = async () => {
    for (let item = items[begun]; item !== undefined && goOn(); item = items[begun]) {
      begun++;
      await work(item);
    }
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, items.length) }, worker));
  return begun;
}
