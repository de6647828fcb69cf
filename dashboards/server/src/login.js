// Sends name and password, and goes to the page; logs whoever is logged in out.
const form = document.getElementById('login');
const refusal = document.getElementById('refusal');
form.addEventListener('submit', async (event) => {
  event.preventDefault();
  refusal.textContent = '';
  try {
    const answer = await fetch('/api/v1/session', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ name: form.elements.name.value, password: form.elements.password.value }),
    });
    if (answer.ok) location.replace('/');
    else {
      const { detail } = await answer.json();
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
