// A certified OpenID provider that we did not write (npm oidc-provider), with people of its own.
//
//   node openid_provider.mjs NODE_MODULES '{"port":…,"alg":"RS256","redirect":"…","logout":"…","secret":"…","groups":{"ada":[…]},"in_token":true}'
//
// Says `listening` on standard output. Lines of JSON on standard input change who is in which groups: {"ada": ["x"]}; {"ada": null}
// takes the person away. Ends when standard input closes.

import { createInterface } from 'node:readline';
import { generateKeyPairSync } from 'node:crypto';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const [, , modules, given] = process.argv;
const told = JSON.parse(given);
const { Provider } = await import(pathToFileURL(createRequire(`${modules}/`).resolve('oidc-provider')).href);
const people = new Map(Object.entries(told.groups));
const key = (type, options, alg) => ({ ...generateKeyPairSync(type, options).privateKey.export({ format: 'jwk' }), use: 'sig', alg, kid: alg });
const algorithms = ['RS256', 'PS256', 'ES256', 'ES384', 'EdDSA'];

const provider = new Provider(`http://127.0.0.1:${told.port}`, {
  clients: [
    {
      client_id: 'gridflex',
      client_secret: told.secret,
      redirect_uris: [told.redirect],
      post_logout_redirect_uris: [told.logout],
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      id_token_signed_response_alg: told.alg,
    },
  ],
  jwks: {
    keys: [
      key('rsa', { modulusLength: 2048 }, 'RS256'),
      key('rsa', { modulusLength: 3072 }, 'PS256'),
      key('ec', { namedCurve: 'P-256' }, 'ES256'),
      key('ec', { namedCurve: 'P-384' }, 'ES384'),
      key('ed25519', {}, 'EdDSA'),
    ],
  },
  enabledJWA: { idTokenSigningAlgValues: algorithms },
  claims: { openid: ['sub'], profile: ['preferred_username', 'groups'] },
  // As most providers do it, or as the standard prefers it: then groups are asked for.
  conformIdTokenClaims: !told.in_token,
  cookies: { keys: ['a secret of a test'] },
  ttl: { AccessToken: 300, IdToken: 300, RefreshToken: 3600, Grant: 3600, Session: 3600, Interaction: 600 },
  issueRefreshToken: async (ctx, client) => client.grantTypeAllowed('refresh_token'),
  rotateRefreshToken: () => true,
  pkce: { required: () => true },
  findAccount: (ctx, id) =>
    people.get(id) ? { accountId: id, claims: () => ({ sub: id, preferred_username: id, groups: people.get(id) }) } : undefined,
});

createInterface({ input: process.stdin })
  .on('line', (line) => {
    for (const [name, groups] of Object.entries(JSON.parse(line))) people.set(name, groups);
    console.log('changed');
  })
  .on('close', () => process.exit(0));
for (const event of ['server_error', 'grant.error', 'authorization.error', 'end_session.error'])
  provider.on(event, (ctx, error) => console.error(event, error?.error_description ?? error));
provider.listen(told.port, '127.0.0.1', () => console.log('listening'));
