export function SharedPage(_: Record<string, unknown>) {
  return <h1>x</h1>;
}
