import { afterEach, describe, expect, test, vi } from "vitest";
import type { Message } from "../src/page";
import { embedded, Socket, socketAddress } from "../src/source";

afterEach(() => {
  document.body.replaceChildren();
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

function put(text: string): void {
  const script = document.createElement("script");
  script.type = "application/json";
  script.id = "netwright-data";
  script.textContent = text;
  document.body.append(script);
}

describe("the data in the page", () => {
  test("are read where they stand", () => {
    put('{"version": 1, "name": "digits"}');
    expect(embedded(document)?.name).toBe("digits");
  });

  test("may be absent", () => {
    expect(embedded(document)).toBeNull();
  });

  test("of another version are refused in words", () => {
    put('{"version": 2}');
    expect(() => embedded(document)).toThrow("data of version 2");
  });
});

class Wire {
  static made: Wire[] = [];
  readyState = 1;
  sent: string[] = [];
  onopen = () => undefined;
  onclose = () => undefined;
  onmessage: (event: { data: unknown }) => void = () => undefined;
  constructor(readonly address: string) {
    Wire.made.push(this);
  }
  send(text: string): void {
    this.sent.push(text);
  }
  close(): void {
    this.readyState = 3;
    this.onclose();
  }
}

describe("the socket", () => {
  function socket(): { source: Socket; told: Message[] } {
    Wire.made = [];
    vi.stubGlobal("WebSocket", Wire);
    const source = new Socket("ws://127.0.0.1:8000/live");
    const told: Message[] = [];
    source.subscribe((message) => told.push(message));
    return { source, told };
  }

  test("brings messages and takes commands", () => {
    const { source, told } = socket();
    Wire.made[0]?.onmessage({ data: '{"type": "error", "message": "x"}' });
    source.send({ type: "command", command: "pause" });
    expect(told).toEqual([{ type: "error", message: "x" }]);
    expect(Wire.made[0]?.sent).toEqual(['{"type":"command","command":"pause"}']);
  });

  test("comes back by itself, and says that it was gone", () => {
    vi.useFakeTimers();
    const { told } = socket();
    Wire.made[0]?.close();
    expect(told[0]?.type).toBe("error");
    vi.advanceTimersByTime(1000);
    expect(Wire.made.length).toBe(2);
  });

  test("says that a command was not sent while it is gone", () => {
    vi.useFakeTimers();
    const { source, told } = socket();
    Wire.made[0]?.close();
    source.send({ type: "command", command: "pause" });
    expect(told[1]).toMatchObject({ type: "error" });
  });

  test("stays closed when it was closed from here", () => {
    vi.useFakeTimers();
    const { source } = socket();
    source.close();
    vi.advanceTimersByTime(60_000);
    expect(Wire.made.length).toBe(1);
  });

  test("has an address beside the page, with its token", () => {
    expect(socketAddress("live?token=a", "http://127.0.0.1:8000/run/3/#rows=1")).toBe("ws://127.0.0.1:8000/run/3/live?token=a");
    expect(socketAddress("/live", "https://host/x")).toBe("wss://host/live");
  });
});
