/* Preloaded into a process under test: its wall clock is off by what the file named in MOVED_CLOCK says, ms. */
import { readFileSync } from 'node:fs';

const file = process.env.MOVED_CLOCK ?? '';
const real = Date.now;
let offsetMs = 0;
const look = () => {
  offsetMs = Number(readFileSync(file, 'utf8'));
};
look();
setInterval(look, 20).unref();
Date.now = () => real() + offsetMs;
