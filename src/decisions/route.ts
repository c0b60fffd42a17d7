import type { Clock } from '../lib/clock.ts';

const MAX_PATH = 2048;
const MAX_SEGMENTS = 12;
const MAX_SEGMENT = 40;

const PLACEHOLDER = '{id}';
/** Stands for routes beyond the bound. */
export const OTHER_ROUTE = '/{other}';

const WORD = /^[A-Za-z0-9._~:-]+$/;
/** Numbers, dates, versions without a letter, ranges. */
const NUMBER = /^[-+]?[0-9][0-9.,:_-]*$/;
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
const HEX = /^(?=.*[0-9])[0-9a-f]{8,}$/i;
const MIN_RANDOM = 12;

/**
 * The path with everything that is no name replaced: `/v1/items/42` is `/v1/items/{id}`. Numbers, UUIDs, hexadecimal
 * digits, long segments and those that look random count as no name. A query is left out.
 */
export function templateOf(path: string): string {
  const end = path.search(/[?#]/);
  const bare = (end < 0 ? path : path.slice(0, end)).slice(0, MAX_PATH);
  const segments = bare.split('/').filter((segment) => segment !== '');
  const names = segments.slice(0, MAX_SEGMENTS).map((segment) => (isName(segment) ? segment : PLACEHOLDER));
  return `/${names.join('/')}${segments.length > MAX_SEGMENTS ? '/{rest}' : ''}`;
}

function isName(segment: string): boolean {
  if (segment.length > MAX_SEGMENT || !WORD.test(segment)) return false;
  if (NUMBER.test(segment) || UUID.test(segment) || HEX.test(segment)) return false;
  const digits = segment.replace(/[^0-9]/g, '').length;
  if (digits >= 4) return false;
  if (segment.length < MIN_RANDOM) return true;
  // Words change between letters and digits, and between small letters and capitals, less often than keys do.
  const turns = segment.match(/[A-Za-z](?=[0-9])|[0-9](?=[A-Za-z])/g)?.length ?? 0;
  const humps = segment.match(/[a-z](?=[A-Z])|[A-Z](?=[a-z])/g)?.length ?? 0;
  return turns < 3 && humps <= segment.length / 3;
}

export type Routes = {
  /** The route of a path. `known`: the request was let through, so that somebody serves such a path. */
  readonly routeOf: (path: string, known: boolean) => string;
};

const FORGET_MS = 3_600_000;

/**
 * A bounded set of routes, `/{other}` beyond. Requests that were turned away fill half of it at most, so that whoever
 * tries paths out cannot crowd out those that are served; every hour it begins anew.
 */
export function createRoutes(options: { readonly clock: Clock; readonly max?: number }): Routes {
  const { clock, max = 1000 } = options;
  const routes = new Map<string, boolean>();
  let unserved = 0;
  let since = clock.monotonicMs();

  return {
    routeOf: (path, known) => {
      if (clock.monotonicMs() - since > FORGET_MS) {
        routes.clear();
        unserved = 0;
        since = clock.monotonicMs();
      }
      const template = templateOf(path);
      const served = routes.get(template);
      if (served !== undefined) {
        if (known && !served) {
          routes.set(template, true);
          unserved--;
        }
        return template;
      }
      if (routes.size >= max || (!known && unserved >= max / 2)) return OTHER_ROUTE;
      routes.set(template, known);
      if (!known) unserved++;
      return template;
    },
  };
}
