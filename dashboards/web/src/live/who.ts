/** What somebody is called who is let in without an account. */
const NOBODY = 'local';

/** Who is logged in; undefined where there are no accounts, or nobody answers. */
export async function whoIsLoggedIn(): Promise<string | undefined> {
  try {
    const answer = await fetch('/api/v1/session');
    if (!answer.ok) return undefined;
    const { name, label } = (await answer.json()) as { name: string; label?: string };
    return name === NOBODY ? undefined : (label ?? name);
  } catch {
    // The page says elsewhere that the server does not answer.
    return undefined;
  }
}
