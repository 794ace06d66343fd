/**
 * Loads what objects load only when they need it. In tests a module comes through the object that asks for it first: when
 * that one is aborted or evicted meanwhile, the others wait for ever. In the Worker's bundle there is nothing to wait for.
 */
import "../../../src/coordinator/channel/channel.ts";
import "../../../src/coordinator/projection/store-bodies.ts";
import "../../../src/coordinator/projection/write-projection.ts";
import "../../../src/reports/attempt.ts";
import "../../../src/reports/drawing/draw-report.ts";
import "../../../src/runners/gang-store.ts";
import "../../../src/scoreboard/rating.ts";
