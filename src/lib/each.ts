/**
 * Works through items, so many at a time, and waits for all of them. An item that fails is the worker's to
 * handle: a rejection ends the walk.
 *
 * @param goOn asked before each item; false leaves the rest alone
 * @returns how many items were begun
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
