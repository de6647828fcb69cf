// Sends name and password, and the code of a second factor when it is asked for, and goes to the page; logs whoever is logged
// in out.
const form = document.getElementById('login');
const refusal = document.getElementById('refusal');
const second = document.getElementById('second');
form.addEventListener('submit', async (event) => {
  event.preventDefault();
  refusal.textContent = '';
  const { name, password, code } = form.elements;
  const shown = { name: name.value, password: password.value };
  if (!second.hidden) shown.code = code.value.replaceAll(' ', '');
  try {
    const answer = await fetch('/api/v1/session', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(shown),
    });
    if (answer.ok) location.replace('/');
    else {
      const { code: why, detail } = await answer.json();
      if (why === 'code_needed') second.hidden = false;
      if (!second.hidden) {
        code.value = '';
        code.focus();
      }
      // A password that turned out wrong after all, or another name.
      if (why === 'wrong_password') second.hidden = true;
      refusal.textContent = `${detail[0].toUpperCase()}${detail.slice(1)}.`;
    }
  } catch {
    refusal.textContent = 'The server does not answer.';
  }
});

document.getElementById('log-out')?.addEventListener('submit', async (event) => {
  event.preventDefault();
  try {
    const answer = await fetch('/api/v1/session', { method: 'DELETE' });
    // Who signed in elsewhere logs out there, too.
    location.replace(answer.status === 200 ? (await answer.json()).log_out_at : '/login');
  } catch {
    refusal.textContent = 'The server does not answer.';
  }
});
