import { testMachineCosts } from "./machines-costs.ts";

testMachineCosts([100_000]);
