/** Where a page's data come from and where its commands go; a view never fetches. */

import type { Command, Message, Page } from "./page";

export interface Source {
  send(command: Command): void;
  /** Told of every message, in order. */
  subscribe(listener: (message: Message) => void): () => void;
  /** Whether somebody at the other end can take a command. */
  readonly open: boolean;
  close(): void;
}

/** The data that stand in the page; null where there are none, an error where they cannot be read. */
export function embedded(root: Document): Page | null {
  const script = root.getElementById("netwright-data");
  const text = script?.textContent?.trim();
  return text ? checked(JSON.parse(text)) : null;
}

export function checked(data: unknown): Page {
  const version = typeof data === "object" && data !== null ? (data as { version?: unknown }).version : undefined;
  if (version !== 1) throw new Error(`this page has data of version ${String(version)}; these views read version 1`);
  return data as Page;
}

/** A report: nobody at the other end. */
export const NOBODY: Source = {
  send: () => undefined,
  subscribe: () => () => undefined,
  open: false,
  close: () => undefined,
};

const LONGEST = 30_000;

/** The socket of the workbench; comes back by itself, later each time, when the other end goes away. */
export class Socket implements Source {
  private readonly listeners = new Set<(message: Message) => void>();
  private socket: WebSocket | null = null;
  private wait = 1000;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private closed = false;

  constructor(private readonly address: string) {
    this.connect();
  }

  get open(): boolean {
    return this.socket?.readyState === 1;
  }

  send(command: Command): void {
    if (this.open) this.socket?.send(JSON.stringify(command));
    else this.tell({ type: "error", message: "No connection to the training. The command was not sent." });
  }

  subscribe(listener: (message: Message) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
    this.socket?.close();
  }

  private connect(): void {
    const socket = new WebSocket(this.address);
    this.socket = socket;
    socket.onopen = () => {
      this.wait = 1000;
    };
    socket.onmessage = (event: MessageEvent) => {
      if (typeof event.data === "string") this.tell(JSON.parse(event.data) as Message);
    };
    socket.onclose = () => {
      if (this.closed) return;
      this.tell({ type: "error", message: "The connection is gone. What is shown is the last that came; trying again." });
      this.timer = setTimeout(() => this.connect(), this.wait);
      this.wait = Math.min(LONGEST, 2 * this.wait);
    };
  }

  private tell(message: Message): void {
    for (const listener of [...this.listeners]) listener(message);
  }
}

/** The address of a socket that was given relative to the page. */
export function socketAddress(relative: string, page: string): string {
  const url = new URL(relative, page);
  url.protocol = url.protocol === "https:" || url.protocol === "wss:" ? "wss:" : "ws:";
  url.hash = "";
  return url.href;
}
