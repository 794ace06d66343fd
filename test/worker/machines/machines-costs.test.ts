/** Costs of machines: lists, histories, comparisons, and what a job writes. */
import { testMachineCosts } from "./machines-costs.ts";

testMachineCosts([1_000]);
