import type { Slipway } from './slipway.ts';

/** One answer: when its request was sent, and what came back. */
export interface Sample {
  sent: number;
  status: number;
  side?: string;
}

/** Steady traffic on one address; it never tries a request twice. */
export class Load {
  readonly samples: Sample[] = [];
  private running = true;
  private readonly open = new Set<Promise<void>>();
  private readonly loop: Promise<void>;

  constructor(
    private readonly slipway: Slipway,
    private readonly route: string,
    perSecond: number,
  ) {
    this.loop = this.send(1000 / perSecond);
  }

  /** Stops, and waits for the requests under way. */
  async stop(): Promise<Sample[]> {
    this.running = false;
    await this.loop;
    await Promise.all(this.open);
    return this.samples;
  }

  /** Answers other than 200. */
  get failures(): Sample[] {
    return this.samples.filter((sample) => sample.status !== 200);
  }

  private async send(interval: number): Promise<void> {
    let due = performance.now();
    while (this.running) {
      const request = this.one();
      this.open.add(request);
      request.finally(() => this.open.delete(request));
      due += interval;
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, due - performance.now())));
    }
  }

  private async one(): Promise<void> {
    const sent = performance.now();
    try {
      const { status, body } = await this.slipway.predict(this.route);
      this.samples.push({ sent, status, side: body?.side });
    } catch {
      this.samples.push({ sent, status: 0 });
    }
  }
}
