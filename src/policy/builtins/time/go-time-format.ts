import { type Fields, fieldsOf, type Instant } from './calendar.ts';
import { fractionDigits, isFraction, MONTHS, readLayout, WEEKDAYS } from './go-time-layout.ts';

/*
 * Go's Time.Format. https://pkg.go.dev/time#Time.Format
 */

const NANO_DIGITS = 9;

/** `width` digits at least, behind the sign. */
const padded = (n: number, width: number): string => `${n < 0 ? '-' : ''}${String(Math.abs(n)).padStart(width, '0')}`;
const monthName = ({ month }: Fields): string => MONTHS[month - 1] ?? '';
const weekdayName = ({ weekday }: Fields): string => WEEKDAYS[weekday] ?? '';
const hour12 = ({ hour }: Fields): number => hour % 12 || 12;

const writers: ReadonlyMap<string, (fields: Fields) => string> = new Map<string, (fields: Fields) => string>([
  ['2006', ({ year }) => padded(year, 4)],
  ['06', ({ year }) => padded(year % 100, 2)],
  ['January', monthName],
  ['Jan', (fields) => monthName(fields).slice(0, 3)],
  ['1', ({ month }) => String(month)],
  ['01', ({ month }) => padded(month, 2)],
  ['Monday', weekdayName],
  ['Mon', (fields) => weekdayName(fields).slice(0, 3)],
  ['2', ({ day }) => String(day)],
  ['_2', ({ day }) => String(day).padStart(2)],
  ['02', ({ day }) => padded(day, 2)],
  ['__2', ({ yearDay }) => String(yearDay).padStart(3)],
  ['002', ({ yearDay }) => padded(yearDay, 3)],
  ['15', ({ hour }) => padded(hour, 2)],
  ['3', (fields) => String(hour12(fields))],
  ['03', (fields) => padded(hour12(fields), 2)],
  ['4', ({ minute }) => String(minute)],
  ['04', ({ minute }) => padded(minute, 2)],
  ['5', ({ second }) => String(second)],
  ['05', ({ second }) => padded(second, 2)],
  ['PM', ({ hour }) => (hour >= 12 ? 'PM' : 'AM')],
  ['pm', ({ hour }) => (hour >= 12 ? 'pm' : 'am')],
]);

/** An instant by a layout, or by one of those that have a name. Throws HaltError when the layout is too long. */
export function formatTime(instant: Instant, layout: string): string {
  const { elements, after } = readLayout(layout);
  const fields = fieldsOf(instant);
  let text = '';
  for (const { before, name } of elements) text += before + elementText(name, instant, fields);
  return text + after;
}

function elementText(name: string, { seconds, nanosecond, zone }: Instant, fields: Fields): string {
  if (isFraction(name)) return fractionText(name, nanosecond);
  if (name === 'MST') return zone.abbreviation(seconds, fields.offset);
  return writers.get(name)?.(fields) ?? offsetText(name, fields.offset);
}

function fractionText(name: string, nanosecond: number): string {
  const digits = fractionDigits(name);
  const trimmed = name[1] === '9';
  if (trimmed && (digits === 0 || nanosecond === 0)) return '';
  const fraction = padded(nanosecond, NANO_DIGITS).slice(0, digits);
  if (!trimmed) return name[0] + fraction;
  const rest = fraction.replace(/0+$/, '');
  return rest === '' ? '' : name[0] + rest;
}

/** `name` is such as -0700 or Z07:00:00. The sign is that of the whole minutes, in Go. */
function offsetText(name: string, offset: number): string {
  if (offset === 0 && name.startsWith('Z')) return 'Z';
  const isWest = offset <= -60;
  const magnitude = isWest ? -offset : offset;
  const minutes = Math.trunc(magnitude / 60);
  const parts = [padded(Math.floor(Math.abs(minutes) / 60), 2)];
  if (name.length > 3) parts.push(padded(Math.abs(minutes % 60), 2));
  if (name.length > 6) parts.push(padded(magnitude % 60, 2));
  return (isWest ? '-' : '+') + parts.join(name.includes(':') ? ':' : '');
}
