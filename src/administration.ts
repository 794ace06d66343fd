/**
 * Signing in, and the administration: people, customers, tokens, the audit log, specs, baselines, the management of
 * runners, jobs without an account, lists of tasks, shared jobs, machines and their comparison, the files of reports,
 * the API document for published clients, and the script that installs the command line. Few requests need it, so it
 * loads with the first of them (`app.ts`), and no poll pays for its contracts.
 */
import { HonoBase } from "hono/hono-base";
import { comparisonRoutes } from "./comparison/router.ts";
import type { App, RequestEnv } from "./http/context.ts";
import type { Pages } from "./http/pages.ts";
import { SegmentRouter } from "./http/router.ts";
import { limitAddress, mount, type Served } from "./http/serve.ts";
import { userKeysRoutes } from "./identity/api-tokens/keys-router.ts";
import { apiTokensRoutes } from "./identity/api-tokens/router.ts";
import { ApiTokensService } from "./identity/api-tokens/service.ts";
import { auditRoutes } from "./identity/audit-trail/router.ts";
import { customersRoutes } from "./identity/customers/router.ts";
import { CustomersService } from "./identity/customers/service.ts";
import { PasswordsService } from "./identity/people/passwords.ts";
import { peopleRoutes } from "./identity/people/router.ts";
import { PeopleService } from "./identity/people/service.ts";
import { SetupService } from "./identity/people/setup.ts";
import { loginRoutes, oauthRoutes, onOAuthError } from "./identity/sign-in/router.ts";
import { SignInService } from "./identity/sign-in/service.ts";
import { anonymousJobsRoutes } from "./jobs/anonymous/router.ts";
import { jobReportRoutes } from "./jobs/report-router.ts";
import { sharesRoutes } from "./jobs/shares/router.ts";
import { SharesService } from "./jobs/shares/service.ts";
import { tasksRoutes } from "./jobs/tasks/router.ts";
import { TasksService } from "./jobs/tasks/service.ts";
import { machinesRoutes } from "./machines/router.ts";
import { ReportKeys } from "./reports/keys.ts";
import { reportsRoutes } from "./reports/router.ts";
import { ReportsService } from "./reports/service.ts";
import { runnersRoutes } from "./runners/router.ts";
import { RunnersService } from "./runners/service.ts";
import { baselinesRoutes } from "./scoreboard/router.ts";
import { documentRoutes } from "./service/document-router.ts";
import { installScript } from "./service/install-script.ts";
import type { Services } from "./services.ts";
import { specsRoutes } from "./specs/router.ts";
import { SpecsService } from "./specs/service.ts";

export function mountAdministration(app: App, services: Services, pages: Pages): void {
  const { oauth, others } = routesOf(services);
  const oauthApp = new HonoBase<RequestEnv>({ router: new SegmentRouter() });
  oauthApp.onError(onOAuthError);
  mount(oauthApp, services, oauth);
  app.route("/", oauthApp);
  mount(app, services, others);
  app.get("/cli", limitAddress(services.limits, "address"), installScript(pages));
}

/** Every operation, for the build of the API document. */
export function administrationRoutes(services: Services): Served[] {
  const { oauth, others } = routesOf(services);
  return [...oauth, ...others];
}

/** `oauth`: the routes whose errors have a form of their own. */
function routesOf(services: Services): { oauth: Served[]; others: Served[] } {
  const { identity, tokens, clock, limits, pepper, failureScale, runnerAuth, timeoutMs } = services;
  const { setupToken, lobbies, stores } = services;
  const signIns = new SignInService({ identity, tokens, clock, pepper, failureScale });
  const people = new PeopleService({ identity, clock, pepper });
  const passwords = new PasswordsService({ identity, tokens, clock, pepper, failureScale });
  const setup = new SetupService({ setupToken, clock, pepper });
  const apiTokens = new ApiTokensService({ identity, tokens, clock, kind: "token" });
  const userKeys = new ApiTokensService({ identity, tokens, clock, kind: "key" });
  const customers = new CustomersService({ clock });
  const specs = new SpecsService({ clock, timeoutMs });
  const runners = new RunnersService({ clock, runnerAuth, lobbies });
  const others = [
    ...documentRoutes(services),
    ...loginRoutes({ signIns, limits }),
    ...specsRoutes({ specs }),
    ...customersRoutes({ customers }),
    ...peopleRoutes({ people, passwords, setup }),
    ...apiTokensRoutes({ apiTokens }),
    ...userKeysRoutes({ userKeys }),
    ...auditRoutes(),
    ...runnersRoutes({ runners, clock, timeoutMs }),
    ...baselinesRoutes(services),
    ...anonymousJobsRoutes(services),
    ...tasksRoutes({ ...services, tasks: new TasksService(stores) }),
    ...machinesRoutes(),
    ...sharesRoutes({ shares: new SharesService(services) }),
    ...comparisonRoutes(),
    ...jobReportRoutes({ reports: new ReportsService(services) }),
    ...reportsRoutes({ ...services, keys: new ReportKeys(services.seeds) }),
  ];
  return { oauth: oauthRoutes({ signIns, limits }), others };
}
