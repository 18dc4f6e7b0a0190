// An OpenID provider on loopback for the tests: oidc-provider with the forms that it brings along for development. It is told the
// address to come back to (REDIRECT_URI), and whom it knows by lines on standard input, each a JSON object of claims by login.
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import Provider from 'oidc-provider';

let accounts = {};
createInterface({ input: process.stdin }).on('line', (line) => {
  accounts = JSON.parse(line);
  console.log('known');
});

const server = createServer();
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: 'deskfold',
        client_secret: process.env.CLIENT_SECRET,
        redirect_uris: [process.env.REDIRECT_URI],
        response_types: ['code'],
        grant_types: ['authorization_code'],
      },
    ],
    claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name'] },
    cookies: { keys: ['only for tests'] },
    pkce: { required: () => true },
    findAccount: (_, sub) => ({ accountId: sub, claims: () => ({ sub, ...accounts[sub] }) }),
  });
  server.on('request', provider.callback());
  console.log(issuer);
});
