import { testListCosts } from "./jobs-list-costs.ts";

testListCosts([100_000]);
