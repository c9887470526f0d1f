import { beforeEach, describe, expect, test, vi } from "vitest";
import { Leaving } from "../src/dom";
import { Frame } from "../src/frame";
import { Gestures } from "../src/gestures";
import { whole } from "../src/window";

const place = new Frame({ window: whole(60, 20), width: 701, gutter: 100, columns: 60, lines: 20, pictures: false, strip: false });

function surface(zoomed = false) {
  const frame = document.createElement("div");
  frame.tabIndex = 0;
  document.body.replaceChildren(frame);
  const to = {
    frame, place: () => place, zoomed: () => zoomed, anchor: () => ({ line: 2, column: 5 }),
    zoom: vi.fn(), pan: vi.fn(), select: vi.fn(), another: vi.fn(), pressNames: vi.fn(), pressClasses: vi.fn(), point: vi.fn(), unpoint: vi.fn(),
  };
  const gestures = new Gestures(to, new Leaving());
  const send = (type: string, column: number, line: number, more: MouseEventInit = {}) =>
    frame.dispatchEvent(new MouseEvent(type, { clientX: place.x(column + 0.5), clientY: place.y(line + 0.5), bubbles: true, ...more }));
  return { to, gestures, send, frame };
}

let s: ReturnType<typeof surface>;
beforeEach(() => {
  s = surface();
});

describe("a pointer on the map", () => {
  test("that is pressed and let go chooses the cell", () => {
    s.send("pointerdown", 7, 3);
    expect(s.to.select).not.toHaveBeenCalled();
    s.send("pointerup", 7, 3);
    expect(s.to.select).toHaveBeenCalledWith({ column: 7, line: 3 }, null);
  });

  test("that is dragged chooses a range in the line where it began", () => {
    s.send("pointerdown", 7, 3);
    s.send("pointermove", 12, 9);
    expect(s.gestures.dragging).toBe(true);
    s.send("pointerup", 12, 9);
    expect(s.to.select).toHaveBeenLastCalledWith({ column: 12, line: 3 }, { column: 7, line: 3 });
    expect(s.gestures.dragging).toBe(false);
  });

  test("chooses from the first input of the selection with Shift, and one more with Ctrl", () => {
    s.send("pointerdown", 9, 3, { shiftKey: true });
    s.send("pointerup", 9, 3);
    expect(s.to.select).toHaveBeenCalledExactlyOnceWith({ column: 9, line: 3 }, { column: 5, line: 2 });
    s.send("pointerdown", 9, 3, { ctrlKey: true });
    s.send("pointerup", 9, 3);
    expect(s.to.another).toHaveBeenCalledExactlyOnceWith({ column: 9, line: 3 });
  });

  test("that scrolls the page over the names of the rows folds nothing", () => {
    s.send("pointerdown", -5, 3);
    s.send("pointermove", -5, 8);
    s.send("pointerup", -5, 8);
    expect(s.to.pressNames).not.toHaveBeenCalled();
    s.send("pointerdown", -5, 3);
    s.send("pointerup", -5, 3);
    expect(s.to.pressNames).toHaveBeenCalledOnce();
  });

  test("that the browser takes away chooses nothing", () => {
    s.send("pointerdown", 7, 3);
    s.send("pointercancel", 7, 3);
    s.send("pointerup", 7, 3);
    expect(s.to.select).not.toHaveBeenCalled();
  });
});

describe("the wheel", () => {
  const wheel = (more: WheelEventInit) => {
    const event = new WheelEvent("wheel", { cancelable: true, clientX: 300, clientY: 100, ...more });
    s.frame.dispatchEvent(event);
    return event.defaultPrevented;
  };

  test("scrolls the page until the map has the focus", () => {
    expect(wheel({ deltaY: -100 })).toBe(false);
    s.frame.focus();
    expect(wheel({ deltaY: -100 })).toBe(true);
    expect(s.to.zoom).toHaveBeenCalledOnce();
  });

  test("scrolls the page on where there is nothing to zoom out of", () => {
    s.frame.focus();
    expect(wheel({ deltaY: 100 })).toBe(false);
  });

  test("zooms with Ctrl in any case, and moves the columns with Shift where not all are seen", () => {
    expect(wheel({ deltaY: -10, ctrlKey: true })).toBe(true);
    expect(wheel({ deltaY: 10, shiftKey: true })).toBe(false);
    s = surface(true);
    expect(wheel({ deltaY: 10, shiftKey: true })).toBe(true);
    expect(s.to.pan).toHaveBeenCalledOnce();
  });
});
