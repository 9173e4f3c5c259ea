// Whose request it is, for nginx (njs): the user that the token names. The service verifies the token;
// with a forged one, somebody reaches a share that answers 401.

function claims(request) {
    const token = /^bearer +[^.]+\.([^.]+)\./i.exec(request.headersIn.Authorization || '');
    return token === null ? {} : JSON.parse(Buffer.from(token[1], 'base64url').toString());
}

// In hexadecimal, because nginx's `map` ignores case and has words of its own.
function key(request) {
    try {
        const found = claims(request);
        const user = found.sub || (found.session && found.session.userId) || '';
        return Buffer.from(user).toString('hex');
    } catch (error) {
        return '';
    }
}

export default { key };
