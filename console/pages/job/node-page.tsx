export function NodePage(_: Record<string, unknown>) { return <h1>x</h1>; }
