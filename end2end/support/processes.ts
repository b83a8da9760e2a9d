import { readdirSync, readlinkSync } from 'node:fs';
import path from 'node:path';

/** Processes that run a model of this server, by id. */
export function replicas(data: string): number[] {
  const ids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  const ours = ids.filter((id) => {
    try {
      return readlinkSync(`/proc/${id}/cwd`).startsWith(path.join(data, 'replicas'));
    } catch {
      return false; // it ended while we looked
    }
  });
  return ours.map(Number).sort((a, b) => a - b);
}
