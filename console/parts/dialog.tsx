/** The browser's own dialog: it holds the focus, closes by Escape, and gives the focus back. */
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { words } from "../words.ts";

interface DialogProps {
  title: string;
  close: () => void;
  children: ComponentChildren;
}

export function Dialog({ title, close, children }: DialogProps) {
  const element = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const before = document.activeElement;
    element.current?.showModal();
    return () => {
      if (before instanceof HTMLElement) before.focus();
    };
  }, []);
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: Escape closes it, too
    <dialog
      ref={element}
      aria-labelledby="dialog-title"
      onClose={close}
      onClick={(event) => {
        if (event.target === element.current) close();
      }}
    >
      <div class="dialog">
        <h2 id="dialog-title">{title}</h2>
        {children}
      </div>
    </dialog>
  );
}

interface ConfirmProps {
  title: string;
  /** What the button does, such as `Delete 3 jobs`. */
  action: string;
  isBusy: boolean;
  confirm: () => void;
  close: () => void;
  children: ComponentChildren;
}

/** Asks before something that cannot be undone. Escape and the first button do nothing. */
export function Confirm({ title, action, isBusy, confirm, close, children }: ConfirmProps) {
  return (
    <Dialog title={title} close={close}>
      {children}
      <div class="actions">
        <button type="button" onClick={close}>
          {words.actions.cancel}
        </button>
        <button type="button" class="danger" disabled={isBusy} onClick={confirm}>
          {isBusy ? words.actions.busy : action}
        </button>
      </div>
    </Dialog>
  );
}
