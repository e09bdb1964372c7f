/** The facts of this machine that training depends on. Everything it cannot find out is null. */
import { readdirSync, readFileSync } from 'node:fs';
import { cpus, loadavg, platform } from 'node:os';
import { join } from 'node:path';

const POWER = '/sys/class/power_supply';

/** Linux: on battery when no mains supply is online and a battery discharges. Elsewhere unknown. */
export function onBattery(root: string = POWER): boolean | null {
  const supplies = entries(root).map((name) => ({ type: read(join(root, name, 'type')), online: read(join(root, name, 'online')), status: read(join(root, name, 'status')), scope: read(join(root, name, 'scope')) }));
  // A mouse's battery (scope Device) says nothing about the machine.
  const own = supplies.filter(({ scope }) => scope !== 'Device');
  if (own.some(({ type, online }) => type !== 'Battery' && online === '1')) return false;
  const batteries = own.filter(({ type }) => type === 'Battery');
  return batteries.length === 0 ? null : batteries.some(({ status }) => status === 'Discharging');
}

/** Over all cores of the machine, as the load is, also where this process may use a few of them only.
 *  null on Windows, whose load average is always 0. */
export function loadPerCore(): number | null {
  return platform() === 'win32' ? null : (loadavg()[0] ?? 0) / Math.max(1, cpus().length);
}

function entries(root: string): string[] {
  try {
    return readdirSync(root);
  } catch {
    // No such folder: not Linux, or a container.
    return [];
  }
}

function read(path: string): string | null {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return null;
  }
}
