import { mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { CALLERS } from './callers.ts';
import { SHARE, type Sides } from './peer-settings.ts';
import { until, type Slipway } from './slipway.ts';
import { unique, type Truss } from './truss.ts';

/** A model of two replicas, and a canary of one that has the first stage's share and stays there. */
export class Canary {
  private constructor(
    private readonly slipway: Slipway,
    readonly model: string,
    private readonly current: string,
    private readonly candidate: string,
  ) {}

  static async begin(slipway: Slipway, truss: Truss): Promise<Canary> {
    const folder = await replica();
    const name = unique('bench-gateway');
    const current = await truss.push(folder, '--model-name', name);
    const { model } = current;
    await slipway.reaches(model, current.deployment, 'ACTIVE');
    const production = `/v1/models/${model}/environments/production`;
    const set = async (min_replica: number) => {
      const autoscaling_settings = { min_replica, max_replica: 2, concurrency_target: 64, scale_down_delay: 3600 };
      const promotion_settings = { ramp_up_while_promoting: true, ramp_up_duration_seconds: 86_400 };
      await done(slipway.rest('PATCH', production, { autoscaling_settings, promotion_settings }));
    };
    await set(2);
    await until('two replicas serve', async () => running(slipway, current.deployment).length === 2, 90_000);
    // The canary is to begin with one; that it is quiet does not take the second away from the others within the hour.
    await set(1);
    const candidate = await truss.push(folder, '--model-name', name);
    await slipway.reaches(model, candidate.deployment, 'ACTIVE');
    const canary = new Canary(slipway, model, current.deployment, candidate.deployment);
    await canary.promote();
    await canary.ask('pause_promotion');
    return canary;
  }

  /** The address of the environment. */
  get route(): string {
    return `/model/${this.model}/production/predict`;
  }

  /** The ports of both sides' replicas. */
  sides(): Sides {
    const sides = { a: running(this.slipway, this.current), b: running(this.slipway, this.candidate) };
    if (sides.a.length !== 2 || sides.b.length !== 1) {
      throw new Error(`there are other replicas than meant: ${JSON.stringify(sides)}`);
    }
    return sides;
  }

  /** Brings the candidate to its share. */
  async promote(): Promise<void> {
    await this.ask('promote', { deployment_id: this.candidate });
    await until('the canary has its share', async () => {
      const { body } = await this.slipway.rest('GET', this.production);
      return body.in_progress_promotion?.percent_traffic_to_new_version === SHARE;
    });
  }

  /** Takes the share away; answers once it is. */
  async cancel(): Promise<void> {
    const { status } = await this.ask('cancel_promotion');
    if (status !== 'CANCELED') throw new Error(`the canary was to be canceled at once, and is ${status}`);
  }

  private get production(): string {
    return `/v1/models/${this.model}/environments/production`;
  }

  private ask(what: string, body = {}): Promise<any> {
    return done(this.slipway.rest('POST', `${this.production}/${what}`, body));
  }
}

export async function done(answer: ReturnType<Slipway['rest']>): Promise<any> {
  const { status, body } = await answer;
  if (status !== 200) throw new Error(`the management API answered ${status}: ${JSON.stringify(body)}`);
  return body;
}

/** The ports of a deployment's replicas that are ready, as the server wrote them down. */
export function running(slipway: Slipway, deployment: string): number[] {
  const folder = path.join(slipway.data, 'replicas');
  // A replica that is being started has a folder before it has this file.
  const files = readdirSync(folder).map((name) => path.join(folder, name, 'replica.json')).filter((file) => existsSync(file));
  const told = files.map((file) => JSON.parse(readFileSync(file, 'utf8')));
  return told.filter((each) => each.deployment === deployment && each.ready_at).map((each) => each.port);
}

/** A custom server that takes next to no time. */
export async function replica(): Promise<string> {
  const folder = await mkdtemp(path.join(tmpdir(), 'truss-replica-'));
  const config = [
    'python_version: py311',
    'docker_server:',
    `  start_command: ${CALLERS} replica`,
    '  server_port: 8100',
    '  predict_endpoint: /predict',
    '  readiness_endpoint: /ready',
    '  liveness_endpoint: /live',
    '',
  ];
  await writeFile(path.join(folder, 'config.yaml'), config.join('\n'));
  await mkdir(path.join(folder, 'data'));
  await writeFile(path.join(folder, 'data', 'nothing'), '');
  return folder;
}
