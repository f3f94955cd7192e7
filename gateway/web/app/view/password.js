// @ts-check
// Changes the password of the backup; files that were made before keep theirs.
import {newPassword, passwordInput} from '../part/new-password.js';
import {field, note, screen} from '../part/screen.js';

/** @param {any} app */
export default function password(app) {
  const {t} = app.text;
  const input = passwordInput(false);
  const before = field({label: t('password.old')}, input);
  return screen({text: app.text, title: t('password.title'), back: '#/backup'},
    note('', 'lock', t('password.files')),
    newPassword(app, {before, label: t('password.change'), run: async (after) => {
      before.wrong();
      await app.backup.changePassword(input.value, after);
      app.announce(app.text.say('password.changed'));
      await app.router.go('/backup', {replace: true});
    }}));
}
