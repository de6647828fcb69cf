import { apply } from './apply';
import type { Change, NetworkPicture, Picture } from './picture';
import { staleness, type Heard, type Staleness } from './staleness';

const RECONNECT_MS = 1_000;
const ANSWER_MS = 5_000;
const CHECK_MS = 250;

/** The live connection: the newest picture, and whether it can be trusted. */
export class Live {
  network: NetworkPicture | null = $state.raw(null);
  picture: Picture | null = $state.raw(null);
  staleness: Staleness = $state.raw({ state: 'waiting' });
  problem: string | null = $state(null);

  private heard: Heard = { beatAt: null, pictureAt: null };
  private source: EventSource | null = null;
  private checking: ReturnType<typeof setInterval> | undefined;
  private reconnecting: ReturnType<typeof setTimeout> | undefined;

  start(): void {
    this.checking = setInterval(() => this.check(), CHECK_MS);
    void this.connect();
  }

  stop(): void {
    this.source?.close();
    clearInterval(this.checking);
    clearTimeout(this.reconnecting);
  }

  private async connect(): Promise<void> {
    try {
      // The system behind the address may have been started anew with another network.
      const answer = await fetch('/api/v1/network', { signal: AbortSignal.timeout(ANSWER_MS) });
      if (answer.status === 401) {
        // Nobody is logged in any more.
        location.assign('/login');
        return;
      }
      if (answer.status === 403) {
        // Asking again would change nothing.
        this.problem = 'this account may not see the grid; log in with another one at /login';
        return;
      }
      if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
      this.network = (await answer.json()) as NetworkPicture;
      this.listen();
    } catch (error) {
      // fetch itself says no more than "failed" when nobody answers.
      const spoken = error instanceof Error && error.message.startsWith('the server answered');
      this.problem = spoken ? error.message : 'the server does not answer';
      this.reconnect();
    }
  }

  private listen(): void {
    const source = new EventSource('/api/v1/stream');
    this.source = source;
    source.addEventListener('snapshot', (event) => {
      this.problem = null;
      this.hear(JSON.parse(event.data) as Picture);
    });
    source.addEventListener('change', (event) => {
      if (this.picture !== null) this.hear(apply(this.picture, JSON.parse(event.data) as Change));
    });
    source.addEventListener('beat', () => {
      this.heard.beatAt = performance.now();
      this.check();
    });
    // EventSource would reconnect by itself, but not after an HTTP error, and not with a fresh network.
    source.onerror = () => {
      source.close();
      this.problem = 'the connection to the server is lost';
      this.reconnect();
    };
  }

  private hear(picture: Picture): void {
    if (picture.seq !== this.picture?.seq) this.heard.pictureAt = performance.now();
    this.picture = picture;
    this.check();
  }

  private reconnect(): void {
    this.reconnecting = setTimeout(() => void this.connect(), RECONNECT_MS);
  }

  private check(): void {
    const next = staleness(this.heard, performance.now());
    // Assigning only on a change keeps the page still while nothing happens.
    if (next.state !== this.staleness.state || next.state === 'stale') this.staleness = next;
  }
}
