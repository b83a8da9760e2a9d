/** Who is measured: `direct` is a replica without anything in front. */
export const WHO = ['direct', 'slipway', 'nginx', 'haproxy'] as const;
export type Who = (typeof WHO)[number];

const PEERS = ['nginx', 'haproxy'] as const;

/** What a figure has to keep, and whether it did. */
interface Bound {
  text: string;
  kept: boolean;
}

interface Row {
  /** Whether it is a number of things, of which ratios say nothing. */
  counts: boolean;
  values: Partial<Record<Who, number[]>>;
  digits: number;
  bounds: Bound[];
}

/** Figures of several parties, measured in rounds; each row has a name, its numbers and its bounds. */
export class Figures {
  private readonly rows = new Map<string, Row>();

  /** Adds what one round measured. */
  note(name: string, who: Who, value: number, digits = 1): void {
    const { values } = this.row(name, { counts: false, digits });
    (values[who] ??= []).push(value);
  }

  /** Adds a number of things. */
  count(name: string, who: Who, value: number): void {
    const { values } = this.row(name, { counts: true, digits: 0 });
    (values[who] ??= []).push(value);
  }

  /** The median of all rounds. */
  median(name: string, who: Who): number {
    return median(this.row(name).values[who] ?? []);
  }

  /** The median of the rounds' own ratios: what disturbs a round disturbs both sides of it. */
  ratio(name: string, peer: Who): number {
    return median(this.pairs(name, peer).map(([ours, theirs]) => ours / theirs));
  }

  /** The median of the rounds' own differences. */
  difference(name: string, peer: Who): number {
    return median(this.pairs(name, peer).map(([ours, theirs]) => ours - theirs));
  }

  /** States a bound; a figure that was not measured keeps none. */
  bound(name: string, text: string, kept: boolean): void {
    this.row(name).bounds.push({ text, kept });
  }

  /** The bounds that were missed, as sentences. */
  get missed(): string[] {
    const rows = [...this.rows].flatMap(([name, { bounds }]) => bounds.map((bound) => ({ name, ...bound })));
    return rows.filter(({ kept }) => !kept).map(({ name, text }) => `${name}: ${text}`);
  }

  /** All of it as a table in Markdown. */
  get table(): string {
    const head = ['figure', ...WHO, '÷ nginx', '÷ HAProxy', 'bound', 'kept'];
    const rows = [...this.rows].map(([name, row]) => [
      name,
      ...WHO.map((who) => (row.values[who] ? this.median(name, who).toFixed(row.digits) : '')),
      ...PEERS.map((peer) => (row.values[peer] && !row.counts ? this.ratio(name, peer).toFixed(2) : '')),
      row.bounds.map(({ text }) => text).join('; '),
      row.bounds.map(({ kept }) => (kept ? 'yes' : 'NO')).join('; '),
    ]);
    const widths = head.map((_, column) => Math.max(...[head, ...rows].map((row) => row[column]!.length)));
    const line = (cells: string[]) => `| ${cells.map((cell, column) => cell.padEnd(widths[column]!)).join(' | ')} |`;
    return [head, widths.map((width) => '-'.repeat(width)), ...rows].map(line).join('\n');
  }

  private row(name: string, { counts, digits } = { counts: false, digits: 1 }): Row {
    const row = this.rows.get(name) ?? { counts, digits, values: {}, bounds: [] };
    this.rows.set(name, row);
    return row;
  }

  private pairs(name: string, peer: Who): [number, number][] {
    const { slipway = [], [peer]: theirs = [] } = this.row(name).values;
    return slipway.map((ours, round) => [ours, theirs[round] ?? Number.NaN]);
  }
}

export function median(list: number[]): number {
  const sorted = [...list].sort((a, b) => a - b);
  return (sorted[Math.floor((sorted.length - 1) / 2)]! + sorted[Math.floor(sorted.length / 2)]!) / 2;
}
