/** The person who has signed in. */
import { useEffect, useState } from "preact/hooks";
import { api, call, type Schemas } from "./api.ts";
import { session } from "./session.ts";

export type Person = Schemas["User"];

let known: Person | null = null;
let asking: Promise<void> | null = null;
session.listen(() => {
  known = null;
  asking = null;
});

/** Null until it is known. */
export function usePerson(): Person | null {
  const [person, setPerson] = useState(known);
  useEffect(() => {
    asking ??= call((signal) => api.GET("/v0/users/me", { signal })).then((outcome) => {
      if (outcome.ok) known = outcome.data;
      // A later page asks again.
      else asking = null;
    });
    let isHere = true;
    void asking.then(() => {
      if (isHere) setPerson(known);
    });
    return () => {
      isHere = false;
    };
  }, []);
  return person;
}
